// The page Live: samples of the last hour as plots and figures, and what is decided and refused as it comes.
"use strict";

(() => {
  const EVERY_MS = 2000;
  const SAMPLES_MAX = 3600;
  const ENTRIES_MAX = 50;
  const RUNGS = ["personal", "session", "popular", "default"];
  const live = document.getElementById("live");
  const deadlineMs = Number(live.dataset.deadlineMs) || 0;
  const state = document.getElementById("live-state");
  const kept = { at: [], columns: new Map() };
  let since = "0";
  let plots = [];

  const column = (name) => kept.columns.get(name) ?? [];
  const lines = (count) => {
    const colours = matchMedia("(prefers-color-scheme: dark)").matches
      ? ["#9db2ff", "#f2c271", "#7fd6a6", "#ff9d94"]
      : ["#3450c8", "#b26a00", "#1a8a55", "#c33b32"];
    return colours.slice(0, count);
  };
  const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  // Arithmetic on columns, in which null means that there is nothing to say.
  const plus = (...columns) => columns[0].map((_, row) => columns.reduce((sum, one) => sum + (one[row] ?? 0), 0));
  const last = (values, count) => values.slice(-count).filter((value) => value !== null && value !== undefined);
  const mean = (values) => (values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : null);
  const most = (values) => (values.length ? Math.max(...values) : null);
  const total = (values) => values.reduce((sum, value) => sum + value, 0);

  const number = (value) =>
    value === null ? "–" : value >= 100 ? Math.round(value).toLocaleString("en") : value.toLocaleString("en", { maximumSignificantDigits: 3 });
  const duration = (ms) => (ms === null ? "–" : ms >= 1000 ? `${(ms / 1000).toFixed(1)} s` : `${number(ms)} ms`);
  const put = (name, text) => {
    const place = live.querySelector(`[data-value="${name}"]`);
    if (place && place.textContent !== text) place.textContent = text;
  };

  const errors = () =>
    ["requestsRefused", "requestsFailed", "eventsRejected"].map((name) => column(`counts.${name}`));
  const shares = () => {
    // By the minute: of few decisions a second, shares of one second say little.
    const counted = RUNGS.map((rung) => column(`counts.served.${rung}`));
    const sums = counted.map(() => 0);
    return counted[0].reduce((out, _, row) => {
      counted.forEach((values, rung) => {
        sums[rung] += (values[row] ?? 0) - (row >= 60 ? values[row - 60] ?? 0 : 0);
      });
      const all = total(sums);
      sums.forEach((sum, rung) => out[rung].push(all ? (100 * sum) / all : null));
      return out;
    }, counted.map(() => []));
  };

  const PLOTS = {
    rates: { labels: ["events", "decisions"], read: () => [column("counts.eventsAccepted"), column("counts.decisions")] },
    decide: {
      labels: ["p50", "p99", "deadline"],
      read: () => [column("stages.decide.p50"), column("stages.decide.p99"), kept.at.map(() => deadlineMs || null)],
    },
    rungs: { labels: RUNGS, read: shares, top: 100 },
    errors: { labels: ["refused", "failed", "events rejected"], read: errors },
    freshness: { labels: ["p50", "p99"], read: () => [column("stages.freshness.p50"), column("stages.freshness.p99")] },
    queue: {
      labels: ["not yet counted", "requests"],
      read: () => [column("gauges.unfoldedRecords"), column("gauges.requestsWorking")],
    },
    memory: { labels: ["MiB"], read: () => [column("gauges.memoryBytes").map((bytes) => (bytes === null ? null : bytes / 1048576))] },
  };

  const clock = (second) => new Date(second * 1000).toISOString().slice(11, 19);
  const seconds = () => kept.at.map((ms) => ms / 1000);

  /* Where no pointer is, the legend says what the newest second was. */
  const tellNewest = (plot) => {
    if (plot.cursor.idx == null && kept.at.length) plot.setLegend({ idx: kept.at.length - 1 });
  };

  /* Where lines show no points, those that no line leads to or from. */
  const alone = (plot, series, areAllShown) => {
    if (areAllShown) return null;
    const values = plot.data[series];
    const isThere = (row) => values[row] !== null && values[row] !== undefined;
    return values.flatMap((_, row) => (isThere(row) && !isThere(row - 1) && !isThere(row + 1) ? [row] : []));
  };

  const draw = () => {
    for (const one of plots) one.destroy();
    plots = [];
    for (const place of live.querySelectorAll("[data-plot]")) {
      const { labels, read, top } = PLOTS[place.dataset.plot];
      const colours = lines(labels.length);
      const axis = { stroke: token("--soft"), grid: { stroke: token("--line"), width: 1 }, ticks: { stroke: token("--line") } };
      const plot = new uPlot(
        {
          width: place.clientWidth,
          height: place.clientHeight - 58,
          tzDate: (second) => uPlot.tzDate(new Date(second * 1000), "UTC"),
          cursor: { sync: { key: "live" }, y: false },
          scales: { y: { range: (_, low, high) => [0, top ?? Math.max(high, 1e-9) * 1.08] } },
          axes: [{ ...axis, space: 76, values: (_, marks) => marks.map(clock) }, { ...axis, size: 52 }],
          series: [{ label: "UTC", value: (_, second) => (second === null ? "–" : clock(second)) }].concat(
            labels.map((label, index) => ({
              label, stroke: colours[index], width: 1.5, points: label === "deadline" ? { show: false } : { size: 4, filter: alone }, spanGaps: true,
              dash: label === "deadline" ? [6, 4] : undefined, value: (_, value) => (value === null ? "–" : number(value)),
            })),
          ),
        },
        [seconds(), ...read()],
        place,
      );
      plot.readAgain = read;
      plots.push(plot);
    }
  };

  // Stages also work for completions, so these are in the whole. What is in no stage is the rest.
  const tellStages = (p99) => {
    const cells = [...live.querySelectorAll("[data-stage]")];
    const spent = (stage) => total(last(column(`stages.${stage}.total`), 60));
    const parts = new Map();
    for (const cell of cells) {
      const [stage, what] = cell.dataset.stage.split("-");
      if (what === "share" && stage !== "rest") parts.set(stage, spent(stage));
    }
    const known = total([...parts.values()]);
    const whole = Math.max(spent("decide") + spent("complete"), known);
    parts.set("rest", whole - known).set("decide", whole);
    for (const cell of cells) {
      const [stage, what] = cell.dataset.stage.split("-");
      const share = whole ? parts.get(stage) / whole : null;
      if (what === "share") cell.value = share ?? 0;
      else if (what === "part") cell.textContent = share === null ? "–" : `${(100 * share).toFixed(1)} %`;
      else cell.textContent = duration(mean(last(column(`stages.${stage}.${what}`), 60)));
    }
    put("budget", p99 !== null && deadlineMs ? `p99 is ${Math.round((100 * p99) / deadlineMs)} % of the deadline` : "");
  };

  const tell = () => {
    const p99 = mean(last(column("stages.decide.p99"), 10));
    const refused = plus(...errors());
    put("events", number(mean(last(column("counts.eventsAccepted"), 10))));
    put("decisions", number(mean(last(column("counts.decisions"), 10))));
    put("p50", duration(mean(last(column("stages.decide.p50"), 10))));
    put("p99", duration(p99));
    put("p99-hint", p99 !== null && deadlineMs ? `${Math.round((100 * p99) / deadlineMs)} % of its deadline` : "no decision lately");
    put("freshness", duration(most(last(column("stages.freshness.p99"), 10))));
    put("errors", number(total(last(refused, 60))));
    put("queue", number(mean(last(column("gauges.unfoldedRecords"), 3))));
    put("memory", `${number((mean(last(column("gauges.memoryBytes"), 1)) ?? 0) / 1048576)} MiB`);
    tellStages(p99);
    state.textContent = `${kept.at.length.toLocaleString("en")} samples, the newest of ${clock(kept.at.at(-1) / 1000)} UTC`;
  };

  const take = (told) => {
    const named = new Map();
    for (const kind of ["counts", "gauges"])
      for (const [name, values] of Object.entries(told[kind])) named.set(`${kind}.${name}`, values);
    for (const [stage, { p50Ms, p99Ms, totalMs }] of Object.entries(told.stages)) {
      named.set(`stages.${stage}.p50`, p50Ms);
      named.set(`stages.${stage}.p99`, p99Ms);
      named.set(`stages.${stage}.total`, totalMs);
    }
    kept.at = kept.at.concat(told.at).slice(-SAMPLES_MAX);
    for (const [name, values] of named) kept.columns.set(name, column(name).concat(values).slice(-SAMPLES_MAX));
    since = told.next;
  };

  const look = async () => {
    try {
      const reply = await fetch(`${live.dataset.samples}?since=${since}`, { headers: { Accept: "application/json" } });
      if (reply.redirected || reply.status === 401) return window.location.reload();
      if (!reply.ok) throw new Error(`the server answered ${reply.status}`);
      const told = await reply.json();
      if (told.at.length) {
        take(told);
        if (plots.length) plots.forEach((plot) => plot.setData([seconds(), ...plot.readAgain()]));
        else draw();
        plots.forEach(tellNewest);
        tell();
      } else if (!kept.at.length) state.textContent = "The first sample comes within a second or two.";
    } catch (error) {
      state.textContent = `No new samples: ${error.message}. This page goes on trying.`;
    }
    return null;
  };

  const beat = async () => {
    if (!document.hidden) await look();
    setTimeout(beat, EVERY_MS);
  };

  // Entries of the stream.
  const rows = document.getElementById("entries");
  const held = document.getElementById("entries-pause");
  const said = document.getElementById("entries-state");
  let waiting = [];

  const cell = (text, href) => {
    const place = document.createElement("td");
    if (href) {
      const link = document.createElement("a");
      link.href = href;
      link.textContent = text;
      place.append(link);
    } else place.textContent = text;
    return place;
  };

  const ROWS = {
    decision: (one) => [
      "decided", one.decisionId,
      one.placements.map((shown) => `${shown.id}: ${shown.items.length + (shown.itemsLeftOut ?? 0)} items, ${shown.servedBy}`).join("; "),
      `/console/decisions/${encodeURIComponent(one.decisionId)}`,
    ],
    refusal: (one) => [
      "refused", one.name || one.code, one.message || one.code,
      one.entry ? `/console/quarantine/${encodeURIComponent(one.entry)}` : "",
    ],
  };

  const show = () => {
    if (!waiting.length || held.getAttribute("aria-pressed") === "true") return;
    rows.querySelector(".empty")?.closest("tr").remove();
    for (const entry of waiting.splice(0)) rows.prepend(entry);
    while (rows.children.length > ENTRIES_MAX) rows.lastChild.remove();
  };

  const listen = () => {
    const source = new EventSource(live.dataset.entries);
    source.addEventListener("open", () => (said.textContent = "Listening"));
    source.addEventListener("error", () => (said.textContent = "The stream is interrupted; it is tried again."));
    source.addEventListener("cut", () => (said.textContent = "The stream was cut off: this page did not keep up. It goes on."));
    for (const [kind, read] of Object.entries(ROWS))
      source.addEventListener(kind, (event) => {
        const one = JSON.parse(event.data);
        const [what, about, how, href] = read(one);
        const row = document.createElement("tr");
        row.append(cell(String(one.at ?? "").slice(11, 19)), cell(what), cell(about, href), cell(how));
        waiting.push(row);
        if (waiting.length > ENTRIES_MAX) waiting.shift();
      });
    setInterval(show, 500);
  };

  held?.addEventListener("click", () => {
    const isHeld = held.getAttribute("aria-pressed") !== "true";
    held.setAttribute("aria-pressed", String(isHeld));
    held.textContent = isHeld ? "Go on" : "Hold";
  });
  if (live.dataset.entries) listen();
  let resizing = 0;
  window.addEventListener("resize", () => {
    clearTimeout(resizing);
    resizing = setTimeout(() => kept.at.length && draw(), 150);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => kept.at.length && draw());
  beat();
})();
