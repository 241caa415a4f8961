/** Answers as they come: fields that are not named here are not read, so that a newer server can say more. */

import type { Json } from "./events.js";
import { type Read, any, dict, flag, list, maybe, number, object, or, record, text, whole } from "./reading.js";

/** An event of a batch that was not taken; the server keeps it in its quarantine. */
export interface RejectedEvent {
  messageId: string;
  code: string;
  message: string;
  /** Its place in the batch, from 0. */
  index: number;
}

/** What several events have in common: they were taken, and something of them does not count. */
export interface WarnedEvents {
  code: string;
  event: string;
  count: number;
  /** Of the first of them. */
  messageId: string;
  message: string;
}

/** What was accepted is on disk, and counts in the next decision. */
export interface TrackReply {
  accepted: number;
  rejected: RejectedEvent[];
  position: string;
  warnings: WarnedEvents[];
}

/** One item of a list. */
export interface RankedItem {
  id: string;
  /** From 1. */
  position: number;
  score: number;
  /** Probability that this item stands at this place. */
  propensity: number;
  reasons: string[];
  /** The catalogue's; null for items of the caller's own list. */
  fields: Json | null;
  /** With `explain`. */
  features: Record<string, number> | null;
  /** With `explain`. */
  stages: Record<string, number> | null;
}

/** A candidate that is not shown, and why. */
export interface ExcludedItem {
  id: string;
  reason: string;
}

/** Something of the question that had no effect. */
export interface Warned {
  code: string;
  message: string;
}

/** The list for one placement. */
export interface PlacementReply {
  items: RankedItem[];
  excluded: ExcludedItem[];
  /** The rung that answered: personal, session, popular or default; `fallback` for the caller's own. */
  servedBy: string;
  experiments: unknown[];
  model: string;
  scoreKind: string;
  /** Why the list is empty or not of what was asked for. */
  reason: string;
  /** With `explain`. */
  rules: unknown[] | null;
}

interface Decided {
  /** "" of a fallback: there is no such decision. */
  decisionId: string;
  position: string;
  epoch: number;
  tookMs: number;
  degraded: string[];
  warnings: Warned[];
  /** Of a fallback, the code of the error that there would have been without it. */
  failure: string;
}

/** Lists for all placements of a question. */
export interface DecisionReply extends Decided {
  placements: Record<string, PlacementReply>;
}

/** One placement's list, with its decision. */
export interface RankReply extends Decided, PlacementReply {}

/** What may be meant by what was typed. */
export interface Completion {
  query: string;
  /** How many items have these words. */
  items: number;
}

/** What completes a search, and items that match. */
export interface CompletionReply {
  completions: Completion[];
  items: RankedItem[];
  servedBy: string;
  position: string;
  epoch: number;
  tookMs: number;
  degraded: string[];
  reason: string;
  failure: string;
}

/** A decision made again from the log, beside what its receipt says. */
export interface Replay {
  decisionId: string;
  identical: boolean;
  differences: string[];
  foldedEvents: number;
  tookMs: number;
}

/** Work that takes longer than a request: ask again by its id. */
export interface Job {
  id: string;
  kind: string;
  subject: string;
  /** waiting, running, done or failed. */
  state: string;
  /** `of` is 0 where that is not known. */
  progress: { done: number; of: number } | null;
  error: { code: string; message: string } | null;
  outcome: unknown;
}

/** An item that was not taken; what the catalogue held of it stays. */
export interface RejectedItem {
  index: number;
  id: string;
  code: string;
  message: string;
}

/** A value that was taken and has less effect than it may have been meant to have. */
export interface ItemWarning {
  field: string;
  code: string;
  message: string;
  items: number;
  ids: string[];
}

/** What was accepted of one item is on disk, and counts in the next decision. */
export interface ItemChange {
  accepted: number;
  position: string;
  warnings: ItemWarning[];
}

/** Likewise of many. */
export interface ItemsReply extends ItemChange {
  rejected: RejectedItem[];
}

/** The items are gone. */
export interface DeletionReply {
  deleted: number;
  /** Ids of which there was no item. */
  unknown: string[];
  position: string;
  rejected: RejectedItem[];
}

/** An item of the catalogue. */
export interface Item {
  id: string;
  fields: Json;
}

/** A page of the catalogue. */
export interface ItemPage {
  items: Item[];
  /** Items of the whole catalogue. */
  count: number;
  /** What to ask for as `after`; null: this is the last page. */
  next: string | null;
  position: string;
}

/** What is known of a person. */
export interface Profile {
  id: string;
  linked: string[];
  known: boolean;
  inSession: boolean;
  features: Json;
  segments: string[];
  consent: Record<string, boolean>;
  position: string;
}

/** What the person has agreed to, all purposes. */
export interface ConsentReply {
  purposes: Record<string, boolean>;
  position: string;
}

/** What was erased where. The signature (Ed25519, hexadecimal) is over `receiptText`. */
export interface Erasure {
  receipt: Json;
  /** As it came. */
  receiptText: string;
  signature: string;
  publicKey: string;
}

/** Whether decisions can be answered. */
export interface Readiness {
  ready: boolean;
  /** Why not. */
  reason: string;
  position: string;
  warnings: string[];
}

const rejectedEvent = object<RejectedEvent>({ messageId: text, code: text, message: text, index: or(whole, 0) });
const warnedEvents = object<WarnedEvents>({ code: text, event: text, count: whole, messageId: text, message: text });

export const trackReply: Read<TrackReply> = object<TrackReply>({
  accepted: whole,
  rejected: or(list(rejectedEvent), []),
  position: text,
  warnings: or(list(warnedEvents), []),
});

const rankedItem = object<RankedItem>({
  id: text,
  position: whole,
  score: number,
  propensity: number,
  reasons: list(text),
  fields: maybe(record),
  features: maybe(dict(number)),
  stages: maybe(dict(number)),
});

const placed = {
  items: list(rankedItem),
  excluded: or(list(object<ExcludedItem>({ id: text, reason: text })), []),
  servedBy: text,
  experiments: or(list(any), []),
  model: or(text, ""),
  scoreKind: or(text, ""),
  reason: or(text, ""),
  rules: maybe(list(any)),
};

const decided = {
  decisionId: text,
  position: text,
  epoch: whole,
  tookMs: number,
  degraded: or(list(text), []),
  warnings: or(list(object<Warned>({ code: text, message: text })), []),
  failure: or(text, ""),
};

export const decisionReply = object<DecisionReply>({ ...decided, placements: dict(object<PlacementReply>(placed)) });
export const rankReply = object<RankReply>({ ...decided, ...placed });

export const completionReply = object<CompletionReply>({
  completions: list(object<Completion>({ query: text, items: whole })),
  items: list(rankedItem),
  servedBy: text,
  position: text,
  epoch: whole,
  tookMs: number,
  degraded: or(list(text), []),
  reason: or(text, ""),
  failure: or(text, ""),
});

export const replay = object<Replay>({
  decisionId: text,
  identical: flag,
  differences: list(text),
  foldedEvents: or(whole, 0),
  tookMs: or(number, 0),
});

export const job = object<Job>({
  id: text,
  kind: text,
  subject: text,
  state: text,
  progress: maybe(object<{ done: number; of: number }>({ done: whole, of: or(whole, 0) })),
  error: maybe(object<{ code: string; message: string }>({ code: text, message: text })),
  outcome: or(any, null),
});

const rejectedItem = object<RejectedItem>({ index: whole, id: text, code: text, message: text });
const itemWarning = object<ItemWarning>({ field: text, code: text, message: text, items: whole, ids: list(text) });
const change = { accepted: whole, position: text, warnings: or(list(itemWarning), []) };

export const itemChange = object<ItemChange>(change);
export const itemsReply = object<ItemsReply>({ ...change, rejected: or(list(rejectedItem), []) });

export const deletionReply = object<DeletionReply>({
  deleted: whole,
  unknown: list(text),
  position: text,
  rejected: or(list(rejectedItem), []),
});

export const item = object<Item>({ id: text, fields: record });
export const itemPage = object<ItemPage>({ items: list(item), count: whole, next: maybe(text), position: text });

export const profile = object<Profile>({
  id: text,
  linked: list(text),
  known: flag,
  inSession: flag,
  features: record,
  segments: list(text),
  consent: dict(flag),
  position: text,
});

export const consentReply = object<ConsentReply>({ purposes: dict(flag), position: text });
export const sentErasure = object<Omit<Erasure, "receiptText">>({ receipt: record, signature: text, publicKey: text });
