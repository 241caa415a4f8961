/** A client for application servers: events in, decisions out, over HTTP. */

export type { Candidate, CompleteFields, DecideFields, PersonFields, Placement, QuestionFields, RankFields } from "./asked.js";
export { type BufferOptions, EventBuffer } from "./buffer.js";
export { Client, type ClientOptions } from "./client.js";
export { BufferFull, ClientError, Misunderstood, NotSent, Refused, TimedOut, Unavailable, Unreachable } from "./errors.js";
export type {
  AliasFields,
  Event,
  EventFields,
  GroupFields,
  IdentifyFields,
  Json,
  PageFields,
  TrackFields,
} from "./events.js";
export type {
  Completion,
  CompletionReply,
  ConsentReply,
  DecisionReply,
  DeletionReply,
  Erasure,
  ExcludedItem,
  Item,
  ItemChange,
  ItemPage,
  ItemsReply,
  ItemWarning,
  Job,
  PlacementReply,
  Profile,
  RankedItem,
  RankReply,
  Readiness,
  RejectedEvent,
  RejectedItem,
  Replay,
  TrackReply,
  Warned,
  WarnedEvents,
} from "./replies.js";
export type { Surroundings } from "./surroundings.js";
export { type UserTokenFields, userToken } from "./userToken.js";
