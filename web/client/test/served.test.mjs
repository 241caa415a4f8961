// The client against a server that asks for keys (INSTANTER_URL, INSTANTER_KEY), and against one that refuses every request
// once, half of them after it has been taken (INSTANTER_BETWEEN).

import assert from "node:assert/strict";
import test from "node:test";
import { Client, Refused } from "@instanter/client";

const { INSTANTER_URL: url, INSTANTER_KEY: key, INSTANTER_BETWEEN: between } = process.env;
const skip = url && key && between ? false : "no server was named";
const PATIENT_MS = 60_000;
const ODD = "sofa/2 ?#%2F ä!'()*~";

const client = skip ? null : new Client(url, { key });
const chairs = Array.from({ length: 8 }, (_, number) => `chair-${number}`);

test("an event counts in the next decision", { skip }, async () => {
  for (const chair of chairs.slice(0, 3)) {
    const taken = await client.track({ event: "Product Viewed", properties: { product_id: chair }, userId: "node-1" });
    assert.deepEqual([taken.accepted, taken.rejected], [1, []]);
  }
  const decision = await client.decide({ placements: ["home.recommended"], userId: "node-1", timeoutMs: PATIENT_MS });
  const placed = decision.placements["home.recommended"];
  assert.deepEqual([placed.servedBy, decision.failure], ["personal", ""]);
  assert.match(placed.items[0].id, /^chair/);
  assert.equal((await client.getDecision({ id: decision.decisionId })).decisionId, decision.decisionId);
  const replayed = await client.replayDecision({ id: decision.decisionId });
  if ("identical" in replayed) {
    assert.ok(replayed.identical);
  } else {
    assert.equal((await client.getJob({ id: replayed.id })).subject, decision.decisionId);
  }
});

test("what just happened may come with the question", { skip }, async () => {
  const event = { type: "track", event: "Product Viewed", properties: { product_id: "lamp-0" }, anonymousId: "node-2" };
  const placements = [{ id: "home.recommended", limit: 3 }];
  const decision = await client.decide({
    placements, anonymousId: "node-2", events: [event], explain: true, timeoutMs: PATIENT_MS,
  });
  assert.match(decision.placements["home.recommended"].items[0].id, /^lamp/);
  assert.notEqual(decision.placements["home.recommended"].items[0].stages, null);
});

test("the caller's own list is ordered and a search completed", { skip }, async () => {
  const candidates = ["nothing", { id: chairs[0], fields: { price: 1 } }];
  const ranked = await client.rank({ placement: "search", candidates, userId: "node-3", timeoutMs: PATIENT_MS });
  const ids = [...ranked.items, ...ranked.excluded].map((one) => one.id);
  assert.deepEqual(ids.sort(), ["nothing", chairs[0]].sort());
  const completed = await client.complete({ query: "lam", userId: "node-3", timeoutMs: PATIENT_MS });
  assert.match(completed.completions[0].query, /^lamp/);
});

for (const id of [ODD, "delete", "node/export", "äöü"]) {
  test(`items of any id come and go: ${id}`, { skip }, async () => {
    assert.equal((await client.upsertItems({ items: { [id]: { title: "Odd", price: 3 } } })).accepted, 1);
    assert.equal((await client.patchItem({ id, fields: { price: 4, title: null } })).accepted, 1);
    assert.equal((await client.getItem({ id })).fields.price, 4);
    const listed = [];
    for (let page = await client.listItems({ limit: 5 }); ; page = await client.listItems({ limit: 5, after: page.next })) {
      listed.push(...page.items.map((item) => item.id));
      if (page.next === null) {
        break;
      }
    }
    assert.ok(listed.includes(id));
    const gone = await client.deleteItems({ ids: [id, "never-there"] });
    assert.deepEqual([gone.deleted, gone.unknown], [1, ["never-there"]]);
    await assert.rejects(client.getItem({ id }), (error) => error instanceof Refused && error.code === "unknown_item");
  });
}

test("a person is known, exported and erased", { skip }, async () => {
  const device = "node-4-browser";
  await client.track({ event: "Product Viewed", properties: { product_id: chairs[1] }, anonymousId: device });
  await client.identify({ userId: "node-4", traits: { plan: "gold" }, anonymousId: device });
  assert.deepEqual((await client.getProfile({ id: "node-4" })).linked, [`anonymous:${device}`]);
  const consent = await client.setConsent({ id: "node-4", purposes: { personalization: false } });
  assert.deepEqual(consent.purposes, { personalization: false });
  const kinds = [];
  for await (const line of client.exportProfile({ id: "node-4" })) {
    kinds.push(line.kind);
  }
  assert.equal(kinds[0], "profile");
  assert.equal(kinds.filter((kind) => kind === "event").length, 2);
  const erased = await client.eraseProfile({ id: `anonymous:${device}` });
  assert.deepEqual(JSON.parse(erased.receiptText), erased.receipt);
  await assert.rejects(client.getProfile({ id: "node-4" }), /nothing is known/);
});

test("the server says how it is", { skip }, async () => {
  assert.equal(await client.health(), true);
  assert.equal((await client.ready()).ready, true);
  const stranger = new Client(url, { key: "no-such-key" });
  await assert.rejects(
    stranger.decide({ placements: ["home.hero"], userId: "u1", timeoutMs: PATIENT_MS }), { name: "Refused", status: 401 },
  );
});

test("each event counts once whatever it is answered first", { skip }, async () => {
  const patient = new Client(between, { key });
  for (const chair of [...chairs.slice(0, 4), ...chairs.slice(0, 4)]) {
    await patient.track({ event: "Product Viewed", properties: { product_id: chair }, anonymousId: "node-5-browser" });
  }
  const buffer = patient.buffer();
  buffer.add({ type: "identify", userId: "node-5", anonymousId: "node-5-browser", traits: { plan: "gold" } });
  buffer.add({ type: "page", name: "Home", anonymousId: "node-5-browser" });
  buffer.add({ type: "screen", name: "Home", anonymousId: "node-5-browser" });
  buffer.add({ type: "group", groupId: "g1", userId: "node-5" });
  buffer.add({ type: "alias", previousId: "node-5-before", userId: "node-5" });
  await buffer.close();
});

test("a page is shown where nobody answers", async () => {
  const nobody = new Client("http://127.0.0.1:9");
  const decision = await nobody.decide({ placements: ["home.hero"], userId: "u1", fallback: { "home.hero": ["sku-1"] } });
  assert.deepEqual([decision.failure, decision.placements["home.hero"].items[0].id], ["unreachable", "sku-1"]);
});
