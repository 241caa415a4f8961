/** The client: sends calls and waits for their answers. */

import { type Answer, check, parsed } from "./answers.js";
import type { CompleteFields, DecideFields, RankFields } from "./asked.js";
import { Attempts } from "./attempts.js";
import { type BufferOptions, EventBuffer } from "./buffer.js";
import { type Call, Calls, exportPath } from "./calls.js";
import { ClientError, Misunderstood, TimedOut, Unreachable } from "./errors.js";
import type { AliasFields, Event, GroupFields, IdentifyFields, Json, PageFields, TrackFields } from "./events.js";
import { checkKnown } from "./given.js";
import { ANSWER_BYTES_MAX, LINE_CHARS_MAX } from "./limits.js";
import { record } from "./reading.js";
import type * as replies from "./replies.js";
import { type Surroundings, realSurroundings } from "./surroundings.js";

const USER_AGENT = "instanter-client-node";
const TIMEOUT_MS = 10_000;
const WITHIN_MS = 30_000;

export interface ClientOptions {
  /** An access key; none for a server with --dev. */
  key?: string;
  /** For one attempt, 10000 unless it is said otherwise. Decisions have a time of their own. */
  timeoutMs?: number;
  /** For all attempts of a call, 30000 unless it is said otherwise. */
  withinMs?: number;
  /** What sends requests; the platform's own unless it is given. */
  fetch?: typeof globalThis.fetch;
  surroundings?: Surroundings;
}

/** Calls a server. Every method throws what `ClientError` draws. */
export class Client {
  readonly #url: string;
  readonly #headers: Record<string, string>;
  readonly #timeoutMs: number;
  readonly #withinMs: number;
  readonly #fetch: typeof globalThis.fetch;
  readonly #surroundings: Surroundings;
  readonly #calls: Calls;

  constructor(url: string, options: ClientOptions = {}) {
    checkKnown(options, ["key", "timeoutMs", "withinMs", "fetch", "surroundings"], "a client");
    this.#url = addressOf(url);
    this.#headers = headersOf(options.key ?? "");
    this.#timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
    this.#withinMs = options.withinMs ?? WITHIN_MS;
    if (!(this.#timeoutMs > 0 && this.#withinMs > 0)) {
      throw new RangeError("timeoutMs and withinMs are above 0");
    }
    this.#fetch = options.fetch ?? globalThis.fetch;
    this.#surroundings = options.surroundings ?? realSurroundings;
    this.#calls = new Calls(this.#surroundings);
  }

  /** Tell something that somebody did. It counts in the next decision once this has resolved. */
  async track(given: TrackFields): Promise<replies.TrackReply> {
    return this.send({ ...given, type: "track" });
  }

  /** Tell that somebody sees a page. */
  async page(given: PageFields): Promise<replies.TrackReply> {
    return this.send({ ...given, type: "page" });
  }

  /** Tell that somebody sees a screen. */
  async screen(given: PageFields): Promise<replies.TrackReply> {
    return this.send({ ...given, type: "screen" });
  }

  /** Tell who somebody is; with `anonymousId`, what that device did is theirs from now on. */
  async identify(given: IdentifyFields): Promise<replies.TrackReply> {
    return this.send({ ...given, type: "identify" });
  }

  /** Tell what group somebody belongs to. */
  async group(given: GroupFields): Promise<replies.TrackReply> {
    return this.send({ ...given, type: "group" });
  }

  /** Tell that two ids are one person. */
  async alias(given: AliasFields): Promise<replies.TrackReply> {
    return this.send({ ...given, type: "alias" });
  }

  /** Tell one event; one that cannot be taken is `Refused`. */
  async send(event: Event): Promise<replies.TrackReply> {
    return this.#run(this.#calls.send(event));
  }

  /** Tell many events. Those that cannot be taken are `rejected` in the reply, and the others are kept. */
  async batch(given: { events: Event[] }): Promise<replies.TrackReply> {
    return this.#run(this.#calls.batch(given));
  }

  /** Gathers events and sends them in the background. */
  buffer(options: BufferOptions = {}): EventBuffer {
    checkKnown(options, ["onRefused", "waitMs"], "a buffer");
    return new EventBuffer((given) => this.batch(given), this.#surroundings, options);
  }

  /** Ask what somebody should see, for all placements of a page at once. */
  async decide(given: DecideFields): Promise<replies.DecisionReply> {
    return this.#run(this.#calls.decide(given));
  }

  /** Ask for the order of the caller's own list. */
  async rank(given: RankFields): Promise<replies.RankReply> {
    return this.#run(this.#calls.rank(given));
  }

  /** Ask what completes a search. */
  async complete(given: CompleteFields): Promise<replies.CompletionReply> {
    return this.#run(this.#calls.complete(given));
  }

  /** The receipt of a decision: what it stood on. */
  async getDecision(given: { id: string }): Promise<Json> {
    return this.#run(this.#calls.getDecision(given));
  }

  /** Make a decision again from the log; what takes longer is a `Job`. */
  async replayDecision(given: { id: string }): Promise<replies.Replay | replies.Job> {
    return this.#run(this.#calls.replayDecision(given));
  }

  /** How a job stands. */
  async getJob(given: { id: string }): Promise<replies.Job> {
    return this.#run(this.#calls.getJob(given));
  }

  /** Put items (id -> fields) into the catalogue, whole. Those that do not fit are `rejected` in the reply. */
  async upsertItems(given: { items: Record<string, Json> }): Promise<replies.ItemsReply> {
    return this.#run(this.#calls.upsertItems(given));
  }

  /** Change fields of an item; null removes one. */
  async patchItem(given: { id: string; fields: Json }): Promise<replies.ItemChange> {
    return this.#run(this.#calls.patchItem(given));
  }

  /** Take items out of the catalogue. */
  async deleteItems(given: { ids: string[] }): Promise<replies.DeletionReply> {
    return this.#run(this.#calls.deleteItems(given));
  }

  /** An item of the catalogue. */
  async getItem(given: { id: string }): Promise<replies.Item> {
    return this.#run(this.#calls.getItem(given));
  }

  /** A page of the catalogue; the next one is behind what it says as `next`. */
  async listItems(given: { limit?: number; after?: string } = {}): Promise<replies.ItemPage> {
    return this.#run(this.#calls.listItems(given));
  }

  /** What is known of a person. An id is a user's, or `anonymous:` and a device's. */
  async getProfile(given: { id: string }): Promise<replies.Profile> {
    return this.#run(this.#calls.getProfile(given));
  }

  /** Erase a person, with every linked id. */
  async eraseProfile(given: { id: string }): Promise<replies.Erasure> {
    return this.#run(this.#calls.eraseProfile(given));
  }

  /** State what a person has agreed to; purposes that are not named stay as they were. */
  async setConsent(given: { id: string; purposes: Record<string, boolean> }): Promise<replies.ConsentReply> {
    return this.#run(this.#calls.setConsent(given));
  }

  /** Everything that is held about a person, an object at a time. */
  async *exportProfile(given: { id: string }): AsyncGenerator<Json, void, void> {
    const ends = new AbortController();
    try {
      const response = await this.#sent({ method: "GET", path: exportPath(given) }, ends, this.#timeoutMs);
      if (!response.ok) {
        check(await answerOf(response));
      }
      yield* linesOf(response, () => timed(ends, this.#timeoutMs));
    } finally {
      ends.abort();
    }
  }

  /** Whether the process answers. */
  async health(): Promise<boolean> {
    return this.#run(this.#calls.health());
  }

  /** Whether it can answer decisions, and why not. */
  async ready(): Promise<replies.Readiness> {
    return this.#run(this.#calls.ready());
  }

  /** The value of a call's answer, after as many attempts as it takes and there is time for. */
  async #run<T>(call: Call<T>): Promise<T> {
    const around = this.#surroundings;
    const [attemptMs, withinMs] = [call.withinMs ?? this.#timeoutMs, call.withinMs ?? this.#withinMs];
    const attempts = new Attempts(!call.once, attemptMs, withinMs, around.elapsedMs());
    for (;;) {
      try {
        return call.read(await this.#answer(call, attempts.timeoutMs(around.elapsedMs())));
      } catch (error) {
        if (!(error instanceof ClientError)) {
          throw error;
        }
        const waitMs = attempts.waitMs(error, around.elapsedMs(), around.spread());
        if (waitMs === null) {
          if (call.fallback === undefined) {
            throw error;
          }
          return call.fallback(error);
        }
        await around.pause(waitMs);
      }
    }
  }

  async #answer(call: Call<unknown>, timeoutMs: number): Promise<Answer> {
    const ends = new AbortController();
    const timer = timed(ends, timeoutMs);
    try {
      return await answerOf(await this.#sent(call, ends));
    } finally {
      clearTimeout(timer);
    }
  }

  async #sent(
    call: { method: string; path: string; body?: string }, ends: AbortController, timeoutMs?: number,
  ): Promise<Response> {
    const timer = timeoutMs === undefined ? undefined : timed(ends, timeoutMs);
    const typed: Record<string, string> = call.body === undefined ? {} : { "Content-Type": "application/json" };
    try {
      return await this.#fetch(this.#url + call.path, {
        method: call.method,
        headers: { ...this.#headers, ...typed },
        redirect: "manual",
        signal: ends.signal,
        ...(call.body === undefined ? {} : { body: call.body }),
      });
    } catch (error) {
      throw ourError(error);
    } finally {
      clearTimeout(timer);
    }
  }
}

function timed(ends: AbortController, timeoutMs: number): ReturnType<typeof setTimeout> {
  return setTimeout(() => ends.abort(new TimedOut("no answer in time")), timeoutMs);
}

/** An error of the platform as one of ours. */
function ourError(error: unknown): ClientError {
  if (error instanceof ClientError) {
    return error;
  }
  const { message, cause } = error as { message?: string; cause?: { code?: string; message?: string } };
  return new Unreachable(cause?.message || cause?.code || message || String(error));
}

async function* piecesOf(response: Response): AsyncGenerator<Uint8Array, void, void> {
  if (response.body === null) {
    return;
  }
  const reader = response.body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read().catch((error: unknown) => {
        throw ourError(error);
      });
      if (done) {
        return;
      }
      yield value;
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

async function answerOf(response: Response): Promise<Answer> {
  const pieces: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const piece of piecesOf(response)) {
    sizeBytes += piece.byteLength;
    if (sizeBytes > ANSWER_BYTES_MAX) {
      throw new Misunderstood(`the answer has more than ${ANSWER_BYTES_MAX} bytes`);
    }
    pieces.push(piece);
  }
  return {
    status: response.status,
    body: new Uint8Array(Buffer.concat(pieces)),
    retryAfter: response.headers.get("retry-after") ?? "",
    location: response.headers.get("location") ?? "",
  };
}

/** The lines of an export; the time runs for each piece. */
async function* linesOf(response: Response, begin: () => ReturnType<typeof setTimeout>): AsyncGenerator<Json, void, void> {
  const decoder = new TextDecoder();
  let left = "";
  let timer = begin();
  try {
    for await (const piece of piecesOf(response)) {
      clearTimeout(timer);
      const lines = (left + decoder.decode(piece, { stream: true })).split("\n");
      left = lines.pop() ?? "";
      if (left.length > LINE_CHARS_MAX) {
        throw new Misunderstood(`a line has more than ${LINE_CHARS_MAX} characters`);
      }
      for (const line of lines.filter(Boolean)) {
        yield record(parsed(Buffer.from(line)), "a line");
      }
      timer = begin();
    }
  } finally {
    clearTimeout(timer);
  }
  if (left) {
    throw new Unreachable("the export broke off within a line: read it again");
  }
}

function addressOf(url: string): string {
  let parts: URL;
  try {
    parts = new URL(url);
  } catch {
    throw new TypeError(`url is ${JSON.stringify(url)}: write it as http://host:port or https://host`);
  }
  if (!["http:", "https:"].includes(parts.protocol)) {
    throw new TypeError(`url is ${JSON.stringify(url)}: write it as http://host:port or https://host`);
  }
  if (parts.search || parts.hash) {
    throw new TypeError("url ends with the path: it has no ? and no #");
  }
  return url.replace(/\/+$/, "");
}

function headersOf(key: string): Record<string, string> {
  if (!/^[\x21-\x7e]*$/.test(key)) {
    throw new TypeError("key holds a character that no key has: was a line end copied with it?");
  }
  const headers = { "User-Agent": USER_AGENT, Accept: "application/json" };
  return key ? { ...headers, Authorization: `Bearer ${key}` } : headers;
}
