/** Every call as a value: the request to be sent, and how its answer is read. No network is known here. */

import { type Answer, readAs, readErasure, readHealth, readReadiness, readReplay } from "./answers.js";
import { COMPLETE, type Candidate, type CompleteFields, type DecideFields, QUESTION, RANK, SPOT } from "./asked.js";
import type { Placement, QuestionFields, RankFields } from "./asked.js";
import type { ClientError } from "./errors.js";
import { type Event, type Json, stamped } from "./events.js";
import { checkKnown, encoded, escaped, quoted, several, timeText } from "./given.js";
import { record } from "./reading.js";
import * as replies from "./replies.js";
import type { CompletionReply, DecisionReply, PlacementReply, RankReply, RankedItem } from "./replies.js";
import type { Surroundings } from "./surroundings.js";

const DECIDE_WITHIN_MS = 300;
const FALLBACK = "fallback";

/** A request, and what becomes of its answer. */
export interface Call<T> {
  method: string;
  /** With what stands behind the `?`; ids in it are escaped. */
  path: string;
  /** Makes the value of an answer, or throws a `ClientError`. */
  read: (answer: Answer) => T;
  /** JSON. */
  body?: string;
  /** Whether it may not be sent twice. */
  once?: boolean;
  /** All attempts together, where the client's own patience does not count. */
  withinMs?: number;
  /** What to answer where it fails. */
  fallback?: ((error: ClientError) => T) | undefined;
}

/** Makes calls; what they need of time and chance comes from the surroundings. */
export class Calls {
  readonly #surroundings: Surroundings;

  constructor(surroundings: Surroundings) {
    this.#surroundings = surroundings;
  }

  send(event: Event): Call<replies.TrackReply> {
    return call("POST", `/v1/${event?.type}`, replies.trackReply, stamped(event, this.#surroundings));
  }

  batch(given: { events: Event[] }): Call<replies.TrackReply> {
    checkKnown(given, ["events"], "batch");
    return call("POST", "/v1/batch", replies.trackReply, { batch: this.#stamped(given.events) });
  }

  decide(given: DecideFields): Call<DecisionReply> {
    const { placements, fallback, timeoutMs, ...asked } = given;
    checkKnown(asked, QUESTION, "decide");
    const spots = several(placements, "placements").map(spotOf);
    const answer = fallback && decisionOf(spots.map((spot) => spot.id), fallback);
    const body = { ...this.#asked(asked), placements: spots };
    return { ...call("POST", "/v1/decide", replies.decisionReply, body), ...within(timeoutMs), fallback: answer };
  }

  rank(given: RankFields): Call<RankReply> {
    const { fallback, timeoutMs, ...asked } = given;
    checkKnown(asked, RANK, "rank");
    const candidates = candidatesOf(asked.candidates);
    const answer = fallback ? rankingOf(candidates, asked.limit) : undefined;
    const body = { ...this.#asked(asked), candidates };
    return { ...call("POST", "/v1/rank", replies.rankReply, body), ...within(timeoutMs), fallback: answer };
  }

  complete(given: CompleteFields): Call<CompletionReply> {
    const { fallback, timeoutMs, ...asked } = given;
    checkKnown(asked, COMPLETE, "complete");
    const answer = fallback ? noCompletions : undefined;
    return { ...call("POST", "/v1/complete", replies.completionReply, asked), ...within(timeoutMs), fallback: answer };
  }

  getDecision(given: { id: string }): Call<Json> {
    return call("GET", `/v1/decisions/${idOf(given)}`, record);
  }

  replayDecision(given: { id: string }): Call<replies.Replay | replies.Job> {
    return { method: "POST", path: `/v1/decisions/${idOf(given)}/replay`, read: readReplay };
  }

  getJob(given: { id: string }): Call<replies.Job> {
    return call("GET", `/v1/jobs/${idOf(given)}`, replies.job);
  }

  upsertItems(given: { items: Record<string, Json> }): Call<replies.ItemsReply> {
    checkKnown(given, ["items"], "upsertItems");
    if (typeof given.items !== "object" || given.items === null || Array.isArray(given.items)) {
      throw new TypeError('items are id -> fields: {"sku-1": {title: ...}}');
    }
    const items = Object.entries(given.items).map(([id, fields]) => ({ id, fields }));
    return call("POST", "/v1/items", replies.itemsReply, { items });
  }

  patchItem(given: { id: string; fields: Json }): Call<replies.ItemChange> {
    return call("PATCH", `/v1/items/${idOf(given, "fields")}`, replies.itemChange, { fields: given.fields });
  }

  deleteItems(given: { ids: string[] }): Call<replies.DeletionReply> {
    checkKnown(given, ["ids"], "deleteItems");
    return call("POST", "/v1/items/delete", replies.deletionReply, { ids: several(given.ids, "ids") });
  }

  getItem(given: { id: string }): Call<replies.Item> {
    return call("GET", `/v1/items/${idOf(given)}`, replies.item);
  }

  listItems(given: { limit?: number; after?: string } = {}): Call<replies.ItemPage> {
    checkKnown(given, ["limit", "after"], "listItems");
    const asked = [["limit", given.limit], ["after", given.after]].filter(([, value]) => value !== undefined);
    const words = asked.map(([name, value]) => `${name}=${quoted(String(value))}`);
    return call("GET", `/v1/items${words.length ? `?${words.join("&")}` : ""}`, replies.itemPage);
  }

  getProfile(given: { id: string }): Call<replies.Profile> {
    return call("GET", `/v1/profiles/${idOf(given)}`, replies.profile);
  }

  eraseProfile(given: { id: string }): Call<replies.Erasure> {
    return { method: "DELETE", path: `/v1/profiles/${idOf(given)}`, read: readErasure, once: true };
  }

  setConsent(given: { id: string; purposes: Record<string, boolean> }): Call<replies.ConsentReply> {
    const path = `/v1/profiles/${idOf(given, "purposes")}/consent`;
    return call("PUT", path, replies.consentReply, { purposes: given.purposes });
  }

  health(): Call<boolean> {
    return { method: "GET", path: "/healthz", read: readHealth };
  }

  ready(): Call<replies.Readiness> {
    return { method: "GET", path: "/readyz", read: readReadiness };
  }

  #stamped(events: Event[]): Json[] {
    return several(events, "events").map((event) => stamped(event, this.#surroundings));
  }

  /** With events that have their times and ids, for a question that is asked again. */
  #asked(asked: QuestionFields): Json {
    const { events, timestamp, ...others } = asked;
    return {
      ...others,
      ...(events?.length ? { events: this.#stamped(events) } : {}),
      ...(timestamp === undefined ? {} : { timestamp: timeText(timestamp) }),
    };
  }
}

/** Where all that is held about a person is read. */
export function exportPath(given: { id: string }): string {
  return `/v1/profiles/${idOf(given)}/export`;
}

function call<T>(method: string, path: string, read: Parameters<typeof readAs<T>>[0], body?: unknown): Call<T> {
  return { method, path, read: readAs(read), ...(body === undefined ? {} : { body: encoded(body) }) };
}

function within(timeoutMs: number = DECIDE_WITHIN_MS): { withinMs: number } {
  if (!(timeoutMs > 0)) {
    throw new RangeError("timeoutMs is above 0");
  }
  return { withinMs: timeoutMs };
}

function idOf(given: { id: string }, ...others: string[]): string {
  checkKnown(given, ["id", ...others], "it");
  return escaped(given.id);
}

function spotOf(given: string | Placement): Placement {
  if (typeof given === "string") {
    return { id: given };
  }
  checkKnown(given, SPOT, "a placement");
  return given.candidates === undefined ? given : { ...given, candidates: candidatesOf(given.candidates) };
}

function candidatesOf(given: (string | Candidate)[]): (string | Candidate)[] {
  const candidates = several(given, "candidates");
  for (const one of candidates) {
    if (typeof one !== "string") {
      checkKnown(one, ["id", "fields"], "a candidate");
    }
  }
  return candidates;
}

function ranked(ids: string[]): RankedItem[] {
  const unknown = { score: 0, propensity: 0, reasons: [], fields: null, features: null, stages: null };
  return ids.map((id, place) => ({ id, position: place + 1, ...unknown }));
}

function listOf(ids: string[]): PlacementReply {
  const unknown = { excluded: [], experiments: [], model: "", scoreKind: "", reason: "", rules: null };
  return { items: ranked(ids), servedBy: FALLBACK, ...unknown };
}

function noDecision(error: ClientError) {
  return { decisionId: "", position: "", epoch: 0, tookMs: 0, degraded: [], warnings: [], failure: error.code };
}

/** Makes the answer of a fallback; RangeError where it names a placement that was not asked for. */
function decisionOf(placements: string[], fallback: Record<string, string[]>): (error: ClientError) => DecisionReply {
  const unknown = Object.keys(fallback).find((name) => !placements.includes(name));
  if (unknown !== undefined) {
    throw new RangeError(`fallback has ${unknown}, which is none of the placements`);
  }
  const lists = Object.fromEntries(placements.map((name) => [name, listOf(several(fallback[name] ?? [], FALLBACK))]));
  return (error) => ({ ...noDecision(error), placements: lists });
}

function rankingOf(candidates: (string | Candidate)[], limit?: number): (error: ClientError) => RankReply {
  const ids = candidates.map((one) => (typeof one === "string" ? one : one.id));
  return (error) => ({ ...listOf(ids.slice(0, limit)), ...noDecision(error) });
}

function noCompletions(error: ClientError): CompletionReply {
  const { decisionId: _, warnings: __, ...unknown } = noDecision(error);
  return { completions: [], items: [], servedBy: FALLBACK, reason: "", ...unknown };
}
