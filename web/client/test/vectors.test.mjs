// The client by the vectors that the one for Python reads as well.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { Client, ClientError, Refused, Unavailable, userToken } from "@instanter/client";

const vectors = JSON.parse(readFileSync(new URL("../vectors.json", import.meta.url), "utf8"));
const URL_ = "http://instanter.test/shop/";

/** Surroundings in which time passes only by waiting. */
function standing() {
  const waitsS = [];
  let made = 0;
  let atMs = 100_000;
  return {
    waitsS,
    nowMs: () => vectors.nowMs,
    elapsedMs: () => atMs,
    spread: () => 0.5,
    messageId: () => `m-${(made += 1)}`,
    pause: async (ms) => {
      waitsS.push(Math.round(ms * 1_000) / 1_000_000);
      atMs += ms;
    },
  };
}

function responseOf(answer) {
  if (answer === "unreachable") {
    throw new TypeError("fetch failed", { cause: Object.assign(new Error("refused"), { code: "ECONNREFUSED" }) });
  }
  return new Response(answer.text ?? JSON.stringify(answer.body), { status: answer.status, headers: answer.headers });
}

/** A client whose requests are answered one by one, the last answer for all further ones. */
function clientFor(answers, options = {}) {
  const seen = [];
  const surroundings = standing();
  const fetch = async (url, request) => {
    seen.push({ url, ...request });
    return responseOf(answers[Math.min(seen.length, answers.length) - 1]);
  };
  return { seen, surroundings, client: new Client(URL_, { fetch, surroundings, ...options }) };
}

function seenError(error) {
  const seen = { kind: error.name, code: error.code };
  if (error instanceof Refused || error instanceof Unavailable) {
    Object.assign(seen, { status: error.status, message: error.message });
  }
  if (error instanceof Refused) {
    seen.details = error.details;
  }
  if (error instanceof Unavailable) {
    seen.retryAfterS = error.retryAfterS;
  }
  return seen;
}

for (const vector of vectors.calls) {
  test(`a call is the request of the vectors: ${vector.name}`, async () => {
    const { client, seen } = clientFor([{ status: 404, text: "" }], { key: vectors.key });
    if ("wrong" in vector) {
      await assert.rejects(client[vector.method](vector.args), (error) => {
        assert.ok(error instanceof TypeError || error instanceof RangeError, String(error));
        assert.match(error.message, new RegExp(vector.wrong));
        return true;
      });
      assert.deepEqual(seen, []);
      return;
    }
    await client[vector.method](vector.args).catch((error) => assert.ok(error instanceof Refused, String(error)));
    assert.equal(seen.length, 1);
    const [request] = seen;
    assert.equal(request.method, vector.request.method);
    assert.equal(request.url, `http://instanter.test/shop${vector.request.path}`);
    assert.equal(new URL(request.url).href, request.url, "the platform sends the address as it is");
    assert.equal(request.headers.Authorization, `Bearer ${vectors.key}`);
    assert.equal(request.headers["Content-Type"], "body" in vector.request ? "application/json" : undefined);
    assert.deepEqual(request.body === undefined ? undefined : JSON.parse(request.body), vector.request.body);
  });
}

for (const vector of vectors.answers) {
  test(`an answer is the value or the error of the vectors: ${vector.name}`, async () => {
    const { client } = clientFor([vector.answer], { withinMs: 1 });
    const outcome = await client[vector.method](vector.args).catch((error) => error);
    if ("error" in vector) {
      assert.ok(outcome instanceof ClientError, String(outcome));
      assert.deepEqual(seenError(outcome), vector.error);
    } else {
      assert.deepEqual(outcome, vector.value);
    }
  });
}

for (const vector of vectors.attempts) {
  test(`a call is sent again as the vectors say: ${vector.name}`, async () => {
    const { client, seen, surroundings } = clientFor(vector.answers);
    const outcome = await client[vector.method](vector.args).then(() => "value", (error) => error.name);
    assert.deepEqual([outcome, seen.length, surroundings.waitsS], [vector.outcome, vector.answers.length, vector.waitsS]);
    assert.equal(new Set(seen.map((request) => request.body)).size, 1, "a message keeps its id and its time");
  });
}

for (const vector of vectors.tokens) {
  test(`a user token is that of the vectors: ${vector.name}`, () => {
    if ("wrong" in vector) {
      assert.throws(() => userToken(vector.args, standing()), new RegExp(vector.wrong));
    } else {
      assert.equal(userToken(vector.args, standing()), vector.token);
    }
  });
}

test("the vectors call every method", () => {
  const called = new Set(vectors.calls.filter((vector) => "request" in vector).map((vector) => vector.method));
  const methods = Object.getOwnPropertyNames(Client.prototype);
  const others = ["constructor", "send", "buffer", "exportProfile"];
  assert.deepEqual(methods.filter((name) => !others.includes(name)).sort(), [...called].sort());
});
