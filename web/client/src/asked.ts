/** Questions as callers ask them. */

import type { Event, Json } from "./events.js";

/** An item of the caller's own list, with fields that count for this question only. */
export interface Candidate {
  id: string;
  fields?: Json;
}

/** A spot of the page that wants a list. */
export interface Placement {
  id: string;
  limit?: number;
  /** What somebody searches for. */
  query?: string;
  /** The item that the page is about. */
  item?: string;
  /** The caller's own list, to be ordered. */
  candidates?: (string | Candidate)[];
}

/** Who is asked about, and how long the answer may take. */
export interface PersonFields {
  userId?: string;
  anonymousId?: string;
  context?: Json;
  /** For the engine's own work; the time on the way is not in it. */
  deadlineMs?: number;
  /** For all attempts together, 300 unless it is said otherwise. */
  timeoutMs?: number;
}

/** What every question for a decision may have. */
export interface QuestionFields extends PersonFields {
  /** What has just happened: it is taken first, and counts in the answer. */
  events?: Event[];
  /** The position of an event that must count; what comes from one server counts anyway. */
  minPosition?: string;
  /** A time that is not now; for an administrator's key. */
  timestamp?: Date | string;
  explain?: boolean;
}

export interface DecideFields extends QuestionFields {
  placements: (string | Placement)[];
  /** Placement -> ids: with it nothing is thrown but for a wrong call, and `failure` of the answer says why. */
  fallback?: Record<string, string[]>;
}

export interface RankFields extends QuestionFields {
  placement: string;
  candidates: (string | Candidate)[];
  limit?: number;
  query?: string;
  item?: string;
  /** Whether the caller's order is the answer where there is none. */
  fallback?: boolean;
}

export interface CompleteFields extends PersonFields {
  query: string;
  limit?: number;
  items?: number;
  placement?: string;
  /** Whether nothing is the answer where there is none. */
  fallback?: boolean;
}

export const PERSON = ["userId", "anonymousId", "context", "deadlineMs"];
export const QUESTION = [...PERSON, "events", "minPosition", "timestamp", "explain"];
export const SPOT = ["id", "limit", "query", "item", "candidates"];
export const RANK = [...QUESTION, "placement", "candidates", "limit", "query", "item"];
export const COMPLETE = [...PERSON, "query", "limit", "items", "placement"];
