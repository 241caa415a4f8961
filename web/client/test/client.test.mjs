// What the client does with time, space and faults.

import assert from "node:assert/strict";
import test from "node:test";
import { BufferFull, Client, Misunderstood, NotSent, Refused, TimedOut, Unavailable, Unreachable } from "@instanter/client";

const ADDRESS = "http://instanter.test";
const NEVER_MS = 3_600_000;
const BUFFERED_EVENTS_MAX = 10_000;
const BATCH_EVENTS_MAX = 500;

const json = (status, body) => new Response(JSON.stringify(body), { status });
const taken = (request) => json(200, { accepted: JSON.parse(request.body).batch.length, rejected: [], position: "1" });
const unavailable = () => json(503, { error: { code: "unavailable", message: "later" } });
const refused = () => json(401, { error: { code: "unauthorized", message: "no" } });
const view = (number = 0) => ({
  type: "track",
  event: "Product Viewed",
  properties: { product_id: `sku-${number}` },
  userId: "u1",
});

/** Takes batches, or answers as it is told; a client of it that waits for nothing. */
function server() {
  const batches = [];
  const it = {
    answer: taken,
    batches,
    products: () => batches.flat().map((event) => event.properties.product_id),
  };
  let atMs = 0;
  it.client = new Client(ADDRESS, {
    fetch: async (_, request) => {
      const answer = await it.answer(request);
      if (answer.status === 200) {
        batches.push(JSON.parse(request.body).batch);
      }
      return answer;
    },
    surroundings: {
      nowMs: () => 1_700_000_000_123,
      elapsedMs: () => atMs,
      spread: () => 0.5,
      messageId: () => `m-${Math.random()}`,
      pause: async (ms) => {
        atMs += ms;
      },
    },
  });
  return it;
}

for (const [url, options] of [
  ["127.0.0.1:8080", {}],
  ["ftp://shop.example", {}],
  ["shop.example", {}],
  ["http://shop.example/?x=1", {}],
  ["http://shop.example", { key: "k\n" }],
  ["http://shop.example", { key: "schlüssel" }],
  ["http://shop.example", { timeoutMs: 0 }],
  ["http://shop.example", { withinMs: -1 }],
  ["http://shop.example", { apiKey: "k" }],
]) {
  test(`what cannot be an address or an option is said before a call: ${url} ${JSON.stringify(options)}`, () => {
    assert.throws(() => new Client(url, options), (error) => error instanceof TypeError || error instanceof RangeError);
  });
}

for (const [name, properties, kind] of [
  ["a number that is none", { products: [{ price: NaN }] }, RangeError],
  ["a map", { held: new Map([["a", 1]]) }, TypeError],
  ["a function", { held: () => 1 }, TypeError],
  ["what has no end", { held: 1n }, TypeError],
]) {
  test(`${name} is refused before it is sent`, async () => {
    await assert.rejects(server().client.track({ event: "x", userId: "u1", properties }), kind);
  });
}

for (const [method, given, says] of [
  ["batch", { events: [{ type: "click" }] }, /has a type/],
  ["send", "x", /has a type/],
  ["decide", { placements: [{ id: "home.hero", count: 3 }] }, /has no count/],
  ["decide", { placements: ["home.hero"], timeoutMs: 0 }, /above 0/],
  ["rank", { placement: "search", candidates: "sku-1" }, /is a list/],
  ["getItem", { id: 7 }, /is a text/],
]) {
  test(`a call that is made wrongly says so: ${method} ${JSON.stringify(given)}`, async () => {
    await assert.rejects(async () => server().client[method](given), (error) => {
      assert.ok(error instanceof TypeError || error instanceof RangeError, String(error));
      assert.match(error.message, says);
      return true;
    });
  });
}

test("a date is sent as a time, and one that is none is refused", async () => {
  const { client, batches } = server();
  await client.batch({ events: [{ ...view(), timestamp: new Date("2024-05-01T10:00:00+02:00") }] });
  assert.equal(batches[0][0].timestamp, "2024-05-01T08:00:00.000Z");
  await assert.rejects(client.track({ event: "x", userId: "u1", timestamp: new Date("never") }), RangeError);
});

test("an answer that does not come in time is no answer", async () => {
  const never = (_, { signal }) =>
    new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
  const client = new Client(ADDRESS, { fetch: never });
  await assert.rejects(client.decide({ placements: ["home.hero"], timeoutMs: 10 }), TimedOut);
  const shown = await client.decide({ placements: ["home.hero"], timeoutMs: 10, fallback: { "home.hero": ["sku-1"] } });
  assert.deepEqual([shown.failure, shown.placements["home.hero"].items[0].id], ["timed_out", "sku-1"]);
});

test("an export is read line by line, and one that breaks off is told", async () => {
  const whole = new Client(ADDRESS, { fetch: async () => new Response('{"kind":"profile"}\n\n{"kind":"event"}\n') });
  const kinds = [];
  for await (const line of whole.exportProfile({ id: "u1" })) {
    kinds.push(line.kind);
  }
  assert.deepEqual(kinds, ["profile", "event"]);
  for (const [answer, kind] of [
    [new Response('{"kind":"profile"}\n{"ki'), Unreachable],
    [new Response("<html>\n"), Misunderstood],
    [json(404, { error: { code: "unknown_profile", message: "nobody" } }), Refused],
  ]) {
    const client = new Client(ADDRESS, { fetch: async () => answer });
    await assert.rejects(async () => {
      for await (const _ of client.exportProfile({ id: "u1" })) {
        // Read to the end.
      }
    }, kind);
  }
});

test("a buffer sends all in order and in batches", async () => {
  const { client, batches, products } = server();
  const buffer = client.buffer({ waitMs: NEVER_MS });
  const count = 2 * BATCH_EVENTS_MAX + 10;
  const ids = Array.from({ length: count }, (_, number) => buffer.add(view(number)));
  await buffer.close();
  assert.deepEqual(products(), Array.from({ length: count }, (_, number) => `sku-${number}`));
  assert.deepEqual(batches.flat().map((event) => event.messageId), ids);
  assert.ok(Math.max(...batches.map((batch) => batch.length)) <= BATCH_EVENTS_MAX);
});

test("a buffer sends without being asked", async () => {
  const { client, products } = server();
  const buffer = client.buffer({ waitMs: 1 });
  buffer.add(view());
  while (buffer.length > 0) {
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.deepEqual(products(), ["sku-0"]);
  await buffer.close();
});

test("an event is held as it was when it was added", async () => {
  const { client, products } = server();
  const buffer = client.buffer({ waitMs: NEVER_MS });
  const event = view();
  buffer.add(event);
  event.properties.product_id = "sku-1";
  buffer.add(event);
  await buffer.close();
  assert.deepEqual(products(), ["sku-0", "sku-1"]);
});

test("what cannot be sent is kept and sent later, or handed back at the end", async () => {
  const it = server();
  it.answer = unavailable;
  const buffer = it.client.buffer({ waitMs: NEVER_MS });
  buffer.add(view(0));
  buffer.add(view(1));
  await assert.rejects(buffer.flush(), Unavailable);
  assert.equal(buffer.length, 2);
  it.answer = taken;
  await buffer.flush();
  assert.deepEqual(it.products(), ["sku-0", "sku-1"]);
  it.answer = unavailable;
  buffer.add(view(2));
  await assert.rejects(buffer.close(), (error) => {
    assert.ok(error instanceof NotSent);
    assert.deepEqual(error.events.map((event) => event.properties.product_id), ["sku-2"]);
    assert.ok(error.causes[0] instanceof Unavailable);
    return true;
  });
  assert.throws(() => buffer.add(view()), /closed/);
});

test("a refusal is thrown by the next flush, or told to who asked for it", async () => {
  const it = server();
  it.answer = refused;
  const buffer = it.client.buffer({ waitMs: NEVER_MS });
  buffer.add(view());
  await assert.rejects(buffer.flush(), NotSent);
  await buffer.close();
  it.answer = () => json(200, { accepted: 1, rejected: [{ messageId: "x", code: "schema", message: "no", index: 1 }], position: "1" });
  const told = [];
  const other = it.client.buffer({ waitMs: NEVER_MS, onRefused: (events, causes) => told.push([events, causes]) });
  other.add(view(0));
  other.add(view(1));
  await other.close();
  assert.deepEqual(told[0][0].map((event) => event.properties.product_id), ["sku-1"]);
  assert.deepEqual([told[0][1][0].code, told[0][1][0].message], ["schema", "no"]);
});

test("a full buffer says so and keeps what it has", async () => {
  const it = server();
  it.answer = unavailable;
  const buffer = it.client.buffer({ waitMs: NEVER_MS });
  for (let number = 0; number < BUFFERED_EVENTS_MAX; number += 1) {
    buffer.add(view(number));
  }
  assert.throws(() => buffer.add(view(-1)), BufferFull);
  it.answer = taken;
  await buffer.close();
  assert.equal(it.products().length, BUFFERED_EVENTS_MAX);
});

test("an event that no server would take is not held", async () => {
  const buffer = server().client.buffer();
  assert.throws(() => buffer.add({ ...view(), properties: { note: "x".repeat(32 * 1024) } }), /may have 32768/);
  assert.throws(() => buffer.add({ ...view(), type: "click" }), /has a type/);
  assert.throws(() => buffer.add({ type: "alias", userId: "u1" }), /needs previousId/);
  await buffer.close();
});

test("batches have their bytes", async () => {
  const { client, batches } = server();
  const buffer = client.buffer({ waitMs: NEVER_MS });
  for (let number = 0; number < 40; number += 1) {
    buffer.add({ ...view(number), properties: { product_id: `sku-${number}`, note: "x".repeat(30_000) } });
  }
  await buffer.close();
  assert.equal(batches.flat().length, 40);
  assert.ok(Math.max(...batches.map((batch) => JSON.stringify(batch).length)) <= 400 * 1024 + 2);
});
