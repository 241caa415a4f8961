/**
 * Everything that the client throws about a call, in one tree. A call made wrongly is a TypeError or RangeError.
 *
 *     ClientError
 *     ├── Refused          the server will not do it: 4xx, with code, message, details; again it would be no other
 *     ├── Unavailable      not now: 429 or 5xx, with code, message and, where it was told, retryAfterS
 *     ├── Unreachable      no connection, or it ended before the answer did; what was sent may have been done
 *     ├── TimedOut         no answer in time; likewise
 *     ├── Misunderstood    an answer that is not in the contract: is there another server at that address?
 *     ├── BufferFull       a buffer holds as many events as it may; this one was not taken
 *     └── NotSent          events that a buffer still held, or that were refused: they are in `events`
 */

import type { Event } from "./events.js";

/** Base of every error about a call. `code` is short and stable. */
export class ClientError extends Error {
  readonly code: string;
  /** Whether the same call may be answered later. */
  readonly mayPass: boolean;

  constructor(message: string, code = "client_error", mayPass = false) {
    super(message);
    this.code = code;
    this.mayPass = mayPass;
    this.name = new.target.name;
  }
}

/** The server will not do it. `code` and `message` are its own. */
export class Refused extends ClientError {
  readonly status: number;
  readonly details: unknown[];

  constructor(status: number, code: string, message: string, details: unknown[] = []) {
    super(message, code);
    this.status = status;
    this.details = details;
  }
}

/** Not now. `retryAfterS` is what the server asks for, null where it says nothing. */
export class Unavailable extends ClientError {
  readonly status: number;
  readonly retryAfterS: number | null;

  constructor(status: number, code: string, message: string, retryAfterS: number | null = null) {
    super(message, code, true);
    this.status = status;
    this.retryAfterS = retryAfterS;
  }
}

/** No connection, or it ended before the answer did. */
export class Unreachable extends ClientError {
  constructor(message: string) {
    super(message, "unreachable", true);
  }
}

/** No answer in time. */
export class TimedOut extends ClientError {
  constructor(message: string) {
    super(message, "timed_out", true);
  }
}

/** An answer that is not in the contract. */
export class Misunderstood extends ClientError {
  constructor(message: string) {
    super(message, "misunderstood");
  }
}

/** A buffer holds as many events as it may. */
export class BufferFull extends ClientError {
  constructor(message: string) {
    super(message, "buffer_full");
  }
}

/** Events that were not sent, or refused. `causes` says why, event by event; the buffer has let go of them. */
export class NotSent extends ClientError {
  readonly events: Event[];
  readonly causes: ClientError[];

  constructor(events: Event[], causes: ClientError[]) {
    super(`${events.length} events were not taken; the first: ${causes[0]?.code}: ${causes[0]?.message}`, "not_sent");
    this.events = events;
    this.causes = causes;
  }
}
