"""What `GET /metrics` says, in the Prometheus text format. No label holds anything personal.

`python -m instanter.ops.metrics FILE` writes docs/metrics.md, which is made from the tables here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.registry import Collector

from ..api.admission import Admission
from ..decisions.fallback import AROUND
from ..decisions.fallback import STAGES as DECISION_STAGES
from ..engine.calibrations import EDGES, Bin
from ..engine.loop import Engine
from .jobs.queue import JobQueue
from .workers.board import WorkerSeen

QUANTILES: Final = (0.5, 0.99)


class Gauge(NamedTuple):
    """A value as it is now."""

    name: str
    text: str
    read: Callable[[Engine], float]


class Counted(NamedTuple):
    """Something the engine counts: under `name`, and in the meter as `key`, or as `key` and a value of the label."""

    key: str
    name: str
    text: str
    label: str = ""


GAUGES: Final = (
    Gauge("instanter_log_pending_bytes", "Bytes appended to the log and not yet durable.",
          lambda engine: engine.journal.pending_bytes),
    Gauge("instanter_log_writing", "1 while events are taken; 0 after a failed sync, until a restart.",
          lambda engine: float(engine.journal.writing)),
    Gauge("instanter_clock_doubted_ms",
          "How far the machine's clock is ahead of the time in force because it is not believed; 0: it is.",
          lambda engine: engine.clock.doubted_ms()),
    Gauge("instanter_unfolded_records", "Records durable and not yet folded.", lambda engine: engine.journal.unfolded),
    Gauge("instanter_people", "Cells known: anonymous ids and user ids.",
          lambda engine: engine.partition.state.cells_used),
    Gauge("instanter_people_on_disk", "Cells, of these, that lie on disk because they were idle for longest.",
          lambda engine: engine.partition.state.cells_cold),
    Gauge("instanter_people_read_at_use",
          "Cells on disk, since the start, that were read when they were needed, because they had not been read ahead "
          "or had moved since: the loop waited for the disk.",
          lambda engine: engine.partition.state.read_at_use),
    Gauge("instanter_fetches_waiting", "Cells on disk that are being read ahead, or wait for their turn.",
          lambda engine: engine.fetches_waiting),
    Gauge("instanter_people_max", "Cells there is room for, in memory and on disk.",
          lambda engine: engine.partition.state.cells_max),
    Gauge("instanter_catalogue_items", "Items in the catalogue.",
          lambda engine: len(engine.partition.state.catalogue.items)),
    Gauge("instanter_catalogue_vectors", "Items of the catalogue that have a vector.",
          lambda engine: engine.partition.state.catalogue.vectors),
    Gauge("instanter_catalogue_vectors_bytes",
          "Numbers of these vectors, a byte each; they are held twice, with the items and side by side.",
          lambda engine: engine.partition.state.catalogue.vector_bytes),
    Gauge("instanter_links", "Links between cells.", lambda engine: len(engine.partition.links)),
    Gauge("instanter_messages_forgotten",
          "Message ids forgotten before their time since the start, since a person sent more of them than "
          "dedup.ids_max or memory had no room: their repetitions count again.",
          lambda engine: engine.partition.state.messages_forgotten),
    Gauge("instanter_access_keys", "Access keys that count.", lambda engine: len(engine.partition.access_keys)),
    Gauge("instanter_lessons_open", "Lists of online learners that wait for outcomes.",
          lambda engine: engine.partition.learners.open),
    Gauge("instanter_lessons_closed_early", "Lists that had to make room for others before their time was over.",
          lambda engine: engine.partition.learners.closed_early),
    Gauge("instanter_lessons_untaught", "Outcomes that taught nobody: there are as many learners as there may be.",
          lambda engine: engine.partition.learners.untaught),
    Gauge("instanter_lessons", "Outcomes that online learners have learned from.",
          lambda engine: engine.partition.learners.lessons),
    Gauge("instanter_records_passed_over", "Records that could not be folded and were passed over since the start.",
          lambda engine: engine.partition.passed_over),
    Gauge("instanter_stream_readers", "Who follows `GET /v1/stream`.", lambda engine: engine.streams.readers),
    Gauge("instanter_position", "Position behind the last folded record.", lambda engine: engine.partition.position),
    Gauge("instanter_epoch", "Number of the published epoch.", lambda engine: engine.partition.state.epoch),
)  # fmt: skip

class EdgeGauge(NamedTuple):
    """A value of the serving edge as it is now."""

    name: str
    text: str
    read: Callable[[Admission], float]


EDGE_GAUGES: Final = (
    EdgeGauge("instanter_requests_working", "Requests worked on: all of them here, not answered yet.",
              lambda admission: admission.working),
    EdgeGauge("instanter_bodies_bytes", "Held of requests' bodies, beyond the 16 KiB that are free of each.",
              lambda admission: admission.bodies_bytes),
)  # fmt: skip

class JobGauge(NamedTuple):
    """A value of the queue of jobs as it is now."""

    name: str
    text: str
    read: Callable[[JobQueue], float]


JOB_GAUGES: Final = (
    JobGauge("instanter_jobs_waiting", "Jobs that wait for their turn.", lambda jobs: jobs.waiting),
    JobGauge("instanter_jobs_running", "Jobs that run, each in a process of its own.", lambda jobs: jobs.running),
)  # fmt: skip

class WorkerFigure(NamedTuple):
    """A figure of each decider, by its number."""

    name: str
    text: str
    read: Callable[[WorkerSeen], float]


WORKER_GAUGES: Final = (
    WorkerFigure("instanter_worker_up", "1 while this decider answers by itself.", lambda seen: float(seen.up)),
    WorkerFigure("instanter_worker_lag_bytes", "Of the log, acknowledged and not yet read by this decider.",
                 lambda seen: seen.lag_bytes),
)  # fmt: skip
WORKER_COUNTERS: Final = (
    WorkerFigure("instanter_worker_decisions", "Decisions that this decider made.", lambda seen: seen.decisions),
    WorkerFigure("instanter_worker_handed_over", "Requests that it handed to the writer.",
                 lambda seen: seen.handed_over),
    WorkerFigure("instanter_worker_receipts_lost", "Receipts of its decisions that did not come into the log.",
                 lambda seen: seen.receipts_lost),
    WorkerFigure("instanter_worker_starts", "How often it was started; more than once after it had ended.",
                 lambda seen: seen.starts),
)  # fmt: skip

WORKER_STAGES: Final = "instanter_worker_stage_seconds"
WORKER_STAGES_TEXT: Final = "Seconds by stage in this decider, since it was started: `_count` and `_sum`."
WORKER_COUNTED: Final = (
    Counted("served.", "instanter_worker_placements_served", "Placements that this decider answered, by rung.", "rung"),
    Counted("degraded.", "instanter_worker_decisions_degraded",
            "Decisions of this decider in which a stage was cut or failed, by stage.", "stage"),
)  # fmt: skip

CALIBRATION_ERROR: Final = "instanter_calibration_error"
CALIBRATION_ERROR_TEXT: Final = (
    "Expected calibration error of a model's probabilities, over items shown whose outcomes are settled."
)
CALIBRATION_ITEMS: Final = "instanter_calibration_items"
CALIBRATION_ITEMS_TEXT: Final = (
    "Of all models together, by the upper bound of what was promised: items shown, rewards expected, items rewarded; "
    "the older weigh less."
)

COUNTED: Final = (
    Counted("events_accepted", "instanter_events_accepted", "Events acknowledged."),
    Counted("events_unheard", "instanter_events_unheard",
            "Events whose name no feature hears: kept, and without effect on any list."),
    Counted("events_notes.", "instanter_events_notes",
            "Events that were taken, and of which something does not count: no item, an unknown one, a number that "
            "cannot be read and so on.", "code"),
    Counted("events_rejected_", "instanter_events_rejected", "Events that could not be taken, by reason.", "code"),
    Counted("events_quarantined", "instanter_events_quarantined", "Entries written to the quarantine."),
    Counted("events_noted.", "instanter_events_noted",
            "Events in the log of which the fold could not make what was meant, by reason.", "code"),
    Counted("events_noted_together", "instanter_events_noted_together",
            "Those of them that share an entry of the quarantine, because there were many in a minute."),
    Counted("events_withheld.", "instanter_events_withheld",
            "Events that were not kept: no consent, the browser's signal, or late ones of somebody erased.", "reason"),
    Counted("items_rejected.", "instanter_items_rejected",
            "Items that could not be taken into the catalogue, by reason.", "code"),
    Counted("items_remarked.", "instanter_items_remarked",
            "Values of items that were taken and have less effect than meant, by what there is to say.", "code"),
    Counted("people_erased", "instanter_people_erased", "Erasures that somebody asked for."),
    Counted("people_fetched.", "instanter_people_fetched",
            "Cells on disk that were read before they were needed: at once, from the system's memory; soon, when the "
            "disk had brought them there; by a thread, which waited for the disk.", "how"),
    Counted("people_awaited.", "instanter_people_awaited",
            "How often a decision, or a step of the fold, waited for people to be read from disk.", "by"),
    Counted("people_not_fetched", "instanter_people_not_fetched",
            "Cells on disk that were not read ahead, because as many waited as may."),
    Counted("people_late", "instanter_people_late",
            "Decisions made without the person, who was not read from disk in time; `context` is degraded."),
    Counted("people_retired", "instanter_people_retired", "People erased because nothing came of them for long."),
    Counted("days_destroyed.", "instanter_days_destroyed", "Keys of days that are over and destroyed, by class.", "of"),
    Counted("model_faults", "instanter_model_faults",
            "Lists for which a model failed and another ranker answered, or took too long."),
    Counted("models_away", "instanter_models_away",
            "Lists that another ranker answered because the process of a model's net was just being begun."),
    Counted("models_benched", "instanter_models_benched", "Models that failed too often and rank no more."),
    Counted("calibrations_benched", "instanter_calibrations_benched",
            "Models whose probabilities do not hold: they rank on, and their scores are no probabilities."),
    Counted("models_missing", "instanter_models_missing", "Models in charge that could not be loaded."),
    Counted("benched_not_written", "instanter_benched_not_written",
            "Benched models that the log could not be told of: a restart puts them in charge again."),
    Counted("retention_refused", "instanter_retention_refused", "Turns of retention that did not come to their end."),
    Counted("events_replayed", "instanter_events_replayed", "Quarantined events that were taken at a later try."),
    Counted("quarantine_dropped_bytes", "instanter_quarantine_dropped_bytes",
            "Bytes of the oldest entries that had to go for new ones, counted at every mebibyte."),
    Counted("quarantine_stubs", "instanter_quarantine_stubs",
            "Rejected events kept without their bytes: too large for a public key, or beyond the sender's share."),
    Counted("quarantine_left_out", "instanter_quarantine_left_out",
            "Rejected events without an entry, as the share was used up; the next entry tells of them."),
    Counted("quarantine_refused", "instanter_quarantine_refused", "Rejected events that the disk did not take."),
    Counted("records_refused", "instanter_records_refused", "Records the disk did not take, none acknowledged."),
    Counted("served.", "instanter_placements_served", "Placements answered, by rung.", "rung"),
    Counted("new_items.", "instanter_new_items_places",
            "Lists of placements with a share for new items that had none by themselves: all their places, and those "
            "that a new item was drawn for.", "which"),
    Counted("seen_before_left_out", "instanter_seen_before_left_out",
            "Candidates left out because the person had looked at them before, in lists of placements that say so."),
    Counted("degraded.", "instanter_decisions_degraded", "Decisions in which a stage was cut or failed, by stage.",
            "stage"),
    Counted("acts_noted", "instanter_acts_noted", "Acts of administrators written to the audit record."),
    Counted("acts_refused", "instanter_acts_refused", "Acts that the disk did not take; none was acknowledged."),
    Counted("acts_not_remembered", "instanter_acts_not_remembered",
            "Ends of the audit record that the log did not take; it is told the next one."),
    Counted("questions_warned.", "instanter_questions_warned",
            "What of questions of decide and rank comes to nothing, by what there is to say: an item or candidate that "
            "is not in the catalogue, or whose reference another item has.", "code"),
    Counted("receipts_lost", "instanter_receipts_lost", "Decisions whose receipt the log did not take."),
    Counted("stream_readers_cut", "instanter_stream_readers_cut",
            "Readers of `GET /v1/stream` that were cut off, and told from where to resume: they took entries more "
            "slowly than they came, or their access key counts no longer."),
    Counted("requests_refused.", "instanter_requests_refused", "Requests refused, by reason.", "code"),
    Counted("turns_waited", "instanter_turns_waited", "Requests that had to wait for their tenant's turn."),
    Counted("connections_refused", "instanter_connections_refused",
            "Connections closed because there were as many as may be."),
    Counted("requests_failed", "instanter_requests_failed", "Requests that failed by a defect of ours."),
    Counted("checkpoints_spread", "instanter_checkpoints_spread",
            "How often checkpoints kept for replays had to lie twice as far apart, to be no more and no larger."),
    Counted("checkpoints_failed", "instanter_checkpoints_failed", "Checkpoints that were not finished."),
    Counted("kernels_late", "instanter_kernels_late",
            "Kernels compiled or loaded after the server was ready, which holds somebody up: a defect of ours."),
    Counted("beats_refused", "instanter_beats_refused", "Epochs and ticks that the log did not take."),
    Counted("folds_halted", "instanter_folds_halted",
            "How often folding had to wait because memory was full and the disk took nobody who was idle."),
    Counted("trained.", "instanter_models_trained",
            "Models that the server trained, by what became of them: placed, stopped by the gate, refused for what "
            "they are, or overtaken by one that somebody placed meanwhile.", "became"),
    Counted("jobs_done.", "instanter_jobs_done", "Jobs that came to an outcome, by kind.", "kind"),
    Counted("jobs_failed.", "instanter_jobs_failed",
            "Jobs that did not: refused, crashed, killed after their time, or stopped with the server; by kind.",
            "kind"),
    Counted("upkeep_failed", "instanter_upkeep_failed", "Steps of upkeep of idle people's files that failed."),
)  # fmt: skip

FOLDED: Final = Counted("", "instanter_events_folded", "Events folded, by what became of them.", "verdict")
STAGE_SECONDS: Final = "instanter_stage_seconds"
RECENT: Final = f"{STAGE_SECONDS}_recent"
PAUSES: Final = "instanter_loop_pause_seconds"

STAGES: Final[Mapping[str, str]] = {
    "decode": "An event's bytes become a record, per event.",
    "enrich": "The part of it that classes the browser, referrer and so on, where that is more than one look.",
    "append": "A group of records is written and synced.",
    "fold": "A record changes the state, per record.",
    "freshness": "From an event's request to the moment a decision sees it.",
    "fetch": "A thread reads up to 32 people from disk, waiting for its turn included.",
    "wait": "A question that is here waits for its turn and the loop, and is read.",
    "events": "The events that came with a question are taken, and the position that it asks for is reached.",
    "person": "Whoever it is about is found, and read from disk where they lie there.",
    "context": "The person is read, and the lists that stand for all.",
    "candidates": "The sources find items.",
    "eligibility": "Stock, purchases and rules take items out.",
    "features": "The inputs of the ranker are gathered.",
    "score": "The ranker scores.",
    "arrange": "The list is put in order, for difference too.",
    "policy": "The explored place is drawn.",
    "receipt": "What the decision stood on is written down.",
    "reply": "The answer is put together.",
    "seal": "The receipt is sealed and handed to the log.",
    "decide": "A whole decision, queueing included; what of it is none of the stages before lies between them.",
    "complete": "Completions of what is being typed, with items, queueing included.",
    "checkpoint": "A checkpoint is written, beside everything else.",
    "overwrite": "What is left in memory of people who were erased is overwritten, beside everything else.",
    "loop_lag": "How late the loop comes to its beat of 2 ms.",
}
assert {*DECISION_STAGES, *AROUND} <= set(STAGES)


class EngineCollector(Collector):
    """Reads an engine's measurements when asked, and those of the edge that it is served by and of its jobs."""

    def __init__(
        self, engine: Engine, admission: Admission | None = None, jobs: JobQueue | None = None,
        workers: Sequence[WorkerSeen] = (),
    ) -> None:  # fmt: skip
        self._engine = engine
        self._admission = admission
        self._jobs = jobs
        self._workers = workers

    def collect(self) -> Iterator[Metric]:
        yield from self._stages()
        yield self._pauses()
        for gauge in GAUGES:
            yield GaugeMetricFamily(gauge.name, gauge.text, gauge.read(self._engine))
        if self._admission is not None:
            for edge in EDGE_GAUGES:
                yield GaugeMetricFamily(edge.name, edge.text, edge.read(self._admission))
        if self._jobs is not None:
            for job in JOB_GAUGES:
                yield GaugeMetricFamily(job.name, job.text, job.read(self._jobs))
        if self._workers:
            yield from of_workers(self._workers)
        yield from self._calibrations()
        yield _labelled(FOLDED, self._engine.partition.state.verdicts)
        counts = self._engine.meter.counts
        for counted in COUNTED:
            if counted.label:
                parts = {name: count for name, count in counts.items() if name.startswith(counted.key)}
                yield _labelled(counted, {name.removeprefix(counted.key): count for name, count in parts.items()})
            else:
                yield CounterMetricFamily(counted.name, counted.text, counts[counted.key])

    def _stages(self) -> Iterator[Metric]:
        stages = SummaryMetricFamily(STAGE_SECONDS, "Seconds by stage, since the start.", labels=["stage"])
        recent = GaugeMetricFamily(
            RECENT, "Quantiles of seconds by stage, of the last half to whole minute.", labels=["stage", "quantile"]
        )
        for stage, histogram in sorted(self._engine.meter.stages.items()):
            stages.add_metric([stage], count_value=histogram.count, sum_value=histogram.total_ns / 1e9)
            for quantile in QUANTILES:
                recent.add_metric([stage, str(quantile)], histogram.quantile_ms(quantile) / 1e3)
        yield stages
        yield recent

    def _calibrations(self) -> Iterator[Metric]:
        """Of each model, and of all together by bins."""
        errors = GaugeMetricFamily(CALIBRATION_ERROR, CALIBRATION_ERROR_TEXT, labels=["tenant", "placement", "model"])
        together = [Bin() for _ in range(len(EDGES) + 1)]
        for about, watched in self._engine.calibrations:
            errors.add_metric(list(about), watched.error)
            for one, add in zip(together, watched.bins, strict=True):
                one.items, one.expected = one.items + add.items, one.expected + add.expected
                one.rewarded += add.rewarded
        items = GaugeMetricFamily(CALIBRATION_ITEMS, CALIBRATION_ITEMS_TEXT, labels=["up_to", "of"])
        for edge, one in zip([*EDGES, 1.0], together, strict=True):
            for name, value in (("shown", one.items), ("expected", one.expected), ("rewarded", one.rewarded)):
                items.add_metric([str(edge), name], value)
        yield errors
        yield items

    def _pauses(self) -> Metric:
        pauses = self._engine.pauses
        labels = [*(str(bound / 1_000) for bound in pauses.bounds_ms), "+Inf"]
        buckets = list(zip(labels, map(float, pauses.up_to()), strict=True))
        text = "How long the loop was away when its beat was due."
        return HistogramMetricFamily(PAUSES, text, buckets, pauses.total_ns / 1e9)


def _labelled(counted: Counted, counts: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(counted.name, counted.text, labels=[counted.label])
    for value, count in sorted(counts.items()):
        family.add_metric([value], count)
    return family


def of_workers(workers: Sequence[WorkerSeen]) -> Iterator[Metric]:
    """The deciders beside a writer."""
    for gauge in WORKER_GAUGES:
        gauges = GaugeMetricFamily(gauge.name, gauge.text, labels=["worker"])
        for seen in workers:
            gauges.add_metric([str(seen.number)], gauge.read(seen))
        yield gauges
    for counter in WORKER_COUNTERS:
        counters = CounterMetricFamily(counter.name, counter.text, labels=["worker"])
        for seen in workers:
            counters.add_metric([str(seen.number)], counter.read(seen))
        yield counters
    stages = SummaryMetricFamily(WORKER_STAGES, WORKER_STAGES_TEXT, labels=["worker", "stage"])
    for seen in workers:
        for stage, told in sorted(seen.figures.stages.items()):
            stages.add_metric([str(seen.number), stage], count_value=told.count, sum_value=told.total_ns / 1e9)
    yield stages
    for counted in WORKER_COUNTED:
        labelled = CounterMetricFamily(counted.name, counted.text, labels=["worker", counted.label])
        for seen in workers:
            for name, count in sorted(seen.figures.counts.items()):
                if name.startswith(counted.key):
                    labelled.add_metric([str(seen.number), name.removeprefix(counted.key)], count)
        yield labelled


def render(
    engine: Engine, admission: Admission | None = None, jobs: JobQueue | None = None,
    workers: Sequence[WorkerSeen] = (),
) -> bytes:  # fmt: skip
    """The text of `GET /metrics`: the engine's, and the process's own (`process_*`)."""
    registry = CollectorRegistry()
    registry.register(EngineCollector(engine, admission, jobs, workers))
    ProcessCollector(registry=registry)
    return generate_latest(registry)


_OPENING: Final = """\
# Metrics

`GET /metrics` answers in the Prometheus text format. No label holds anything personal. Beside the metrics below
there are those of the process by their usual names (`process_resident_memory_bytes`, `process_cpu_seconds_total`,
`process_open_fds` and so on).

| metric | type | labels | what it says |
|---|---|---|---|
"""
_ON_STAGES: Final = """
## Stages

| `stage` | what is measured |
|---|---|
"""


def page() -> str:
    """docs/metrics.md."""
    rows = [
        (STAGE_SECONDS, "summary", "stage", "Seconds by stage, since the start: `_count` and `_sum`."),
        (RECENT, "gauge", "stage, quantile", "p50 and p99 of seconds by stage, of the last half to whole minute."),
        (PAUSES, "histogram", "le", "How long the loop was away when its beat was due."),
        (CALIBRATION_ERROR, "gauge", "tenant, placement, model", CALIBRATION_ERROR_TEXT),
        (CALIBRATION_ITEMS, "gauge", "up_to, of", CALIBRATION_ITEMS_TEXT),
        *((gauge.name, "gauge", "", gauge.text) for gauge in (*GAUGES, *EDGE_GAUGES, *JOB_GAUGES)),
        *((gauge.name, "gauge", "worker", gauge.text) for gauge in WORKER_GAUGES),
        *((f"{counter.name}_total", "counter", "worker", counter.text) for counter in WORKER_COUNTERS),
        (WORKER_STAGES, "summary", "worker, stage", WORKER_STAGES_TEXT),
        *((f"{one.name}_total", "counter", f"worker, {one.label}", one.text) for one in WORKER_COUNTED),
        *((f"{counted.name}_total", "counter", counted.label, counted.text) for counted in (FOLDED, *COUNTED)),
    ]
    metrics = "".join(
        f"| `{name}` | {kind} | {_code(labels)} | {text} |\n" for name, kind, labels, text in rows
    )
    stages = "".join(f"| `{stage}` | {text} |\n" for stage, text in STAGES.items())
    return _OPENING + metrics + _ON_STAGES + stages


def _code(labels: str) -> str:
    return ", ".join(f"`{label}`" for label in labels.split(", ")) if labels else ""


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
