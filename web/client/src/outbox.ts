/** What a buffer holds: events that wait, and those that were refused until somebody is told. It knows no network. */

import { BufferFull, type ClientError, NotSent, Refused } from "./errors.js";
import type { Event } from "./events.js";
import { BATCH_BYTES_MAX, BATCH_EVENTS_MAX, BUFFERED_EVENTS_MAX, EVENT_BYTES_MAX } from "./limits.js";
import type { RejectedEvent } from "./replies.js";

interface Held {
  event: Event;
  sizeBytes: number;
}

/** Events in the order in which they came. */
export class Outbox {
  #waiting: Held[] = [];
  #waitingBytes = 0;
  #taken: Held[] = [];
  #refused: { event: Event; cause: ClientError }[] = [];

  /** Events that wait or are on their way. */
  get length(): number {
    return this.#waiting.length + this.#taken.length;
  }

  /** Whether nothing is gained by waiting longer. */
  get isFullBatch(): boolean {
    return this.#waiting.length >= BATCH_EVENTS_MAX || this.#waitingBytes >= BATCH_BYTES_MAX;
  }

  /** Hold an event. Throws `BufferFull`, and RangeError for one that the server would not take. */
  add(event: Event, sizeBytes: number): void {
    if (sizeBytes > EVENT_BYTES_MAX) {
      throw new RangeError(`the event has ${sizeBytes} bytes, and may have ${EVENT_BYTES_MAX}`);
    }
    if (this.length + this.#refused.length >= BUFFERED_EVENTS_MAX) {
      throw new BufferFull(`the buffer holds ${BUFFERED_EVENTS_MAX} events that could not be sent yet`);
    }
    this.#waiting.push({ event, sizeBytes });
    this.#waitingBytes += sizeBytes;
  }

  /** The next batch, to be followed by one of `done`, `refuse` or `putBack`; empty where nothing waits. */
  take(): Event[] {
    let count = 0;
    let sizeBytes = 0;
    for (const held of this.#waiting.slice(0, BATCH_EVENTS_MAX)) {
      if (count > 0 && sizeBytes + held.sizeBytes > BATCH_BYTES_MAX) {
        break;
      }
      count += 1;
      sizeBytes += held.sizeBytes;
    }
    this.#taken = this.#waiting.splice(0, count);
    this.#waitingBytes -= sizeBytes;
    return this.#taken.map((held) => held.event);
  }

  /** The batch was taken, but for these. */
  done(rejected: RejectedEvent[]): void {
    for (const { index, code, message } of rejected) {
      const held = this.#taken[index];
      if (held !== undefined) {
        this.#refused.push({ event: held.event, cause: new Refused(400, code, message) });
      }
    }
    this.#taken = [];
  }

  /** The whole batch was refused, and would be again. */
  refuse(cause: ClientError): void {
    this.#refused.push(...this.#taken.map(({ event }) => ({ event, cause })));
    this.#taken = [];
  }

  /** The batch could not be sent: it waits again, in its order. */
  putBack(): void {
    this.#waiting.unshift(...this.#taken);
    this.#waitingBytes += this.#taken.reduce((sum, held) => sum + held.sizeBytes, 0);
    this.#taken = [];
  }

  /** Those that were refused, to be told; they are no longer held. */
  letGoRefused(): NotSent | null {
    const told = this.#refused;
    this.#refused = [];
    return told.length ? new NotSent(told.map(({ event }) => event), told.map(({ cause }) => cause)) : null;
  }

  /** Those that were refused and all that wait, which cannot be sent for `cause`. */
  letGoAll(cause: ClientError): NotSent | null {
    this.putBack();
    this.#refused.push(...this.#waiting.map(({ event }) => ({ event, cause })));
    this.#waiting = [];
    this.#waitingBytes = 0;
    return this.letGoRefused();
  }
}
