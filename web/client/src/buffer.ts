/**
 * A buffer: events are taken at once, and sent in batches in the background. None is lost without being told of.
 *
 * What cannot be sent now is kept and tried again; when the buffer is full of such, `add` throws. What the server refuses
 * goes to `onRefused`, or is thrown by the next `flush` or `close`. What is left when the buffer is closed is thrown.
 */

import { ClientError, type NotSent } from "./errors.js";
import { type Event, stamped } from "./events.js";
import { encoded } from "./given.js";
import { Outbox } from "./outbox.js";
import type { TrackReply } from "./replies.js";
import type { Surroundings } from "./surroundings.js";

const WAIT_MS = 1_000;

export interface BufferOptions {
  /** Told of events that the server refused, and why, event by event. */
  onRefused?: (events: Event[], causes: ClientError[]) => void;
  /** How long an event waits for others, 1000 unless it is said otherwise. */
  waitMs?: number;
}

type Send = (given: { events: Event[] }) => Promise<TrackReply>;

/** The buffer of a client. Close it: what waits keeps the process from ending, but `process.exit` ends it. */
export class EventBuffer {
  readonly #send: Send;
  readonly #surroundings: Surroundings;
  readonly #onRefused: BufferOptions["onRefused"];
  readonly #waitMs: number;
  readonly #outbox = new Outbox();
  #timer: ReturnType<typeof setTimeout> | null = null;
  /** Settled when the batch that is on its way is; batches go one after the other. */
  #sending: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(send: Send, surroundings: Surroundings, options: BufferOptions) {
    this.#send = send;
    this.#surroundings = surroundings;
    this.#onRefused = options.onRefused;
    this.#waitMs = options.waitMs ?? WAIT_MS;
  }

  /** Events that wait or are on their way. */
  get length(): number {
    return this.#outbox.length;
  }

  /**
   * Take an event as it is now, to be sent soon; returns its message id. Throws `BufferFull`; RangeError for an event
   * that is too large; TypeError for what is no event; Error when the buffer is closed.
   */
  add(event: Event): string {
    if (this.#closed) {
      throw new Error("the buffer is closed");
    }
    const text = encoded(stamped(event, this.#surroundings));
    const held = JSON.parse(text) as Event & { messageId: string };
    this.#outbox.add(held, Buffer.byteLength(text) + 1);
    this.#schedule();
    return held.messageId;
  }

  /** Send all that waits. Throws why it cannot be sent now (it is kept), and `NotSent` with what was refused. */
  async flush(): Promise<void> {
    await this.#sendAll();
    this.#tell(this.#outbox.letGoRefused(), true);
  }

  /** Send all that waits, and take no more. Throws `NotSent` with what could not be sent or was refused. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#unschedule();
    let told: NotSent | null;
    try {
      await this.#sendAll();
      told = this.#outbox.letGoRefused();
    } catch (error) {
      if (!(error instanceof ClientError)) {
        throw error;
      }
      told = this.#outbox.letGoAll(error);
    }
    this.#tell(told, true);
  }

  #tell(told: NotSent | null, throws: boolean): void {
    if (told === null) {
      return;
    }
    if (this.#onRefused !== undefined) {
      this.#onRefused(told.events, told.causes);
    } else if (throws) {
      throw told;
    }
  }

  #schedule(): void {
    if (this.#outbox.isFullBatch && this.#timer !== null) {
      this.#unschedule();
    }
    if (this.#timer === null && !this.#closed && this.#outbox.length > 0) {
      this.#timer = setTimeout(() => void this.#work(), this.#outbox.isFullBatch ? 0 : this.#waitMs);
    }
  }

  #unschedule(): void {
    if (this.#timer !== null) {
      clearTimeout(this.#timer);
      this.#timer = null;
    }
  }

  async #work(): Promise<void> {
    this.#timer = null;
    try {
      await this.#sendAll();
    } catch (error) {
      if (!(error instanceof ClientError)) {
        throw error;
      }
    }
    if (this.#onRefused !== undefined) {
      this.#tell(this.#outbox.letGoRefused(), false);
    }
    this.#retry();
  }

  /** What could not be sent is tried again, not before others have been waited for. */
  #retry(): void {
    if (this.#timer === null && !this.#closed && this.#outbox.length > 0) {
      this.#timer = setTimeout(() => void this.#work(), this.#waitMs);
    }
  }

  #sendAll(): Promise<void> {
    const sent = this.#sending.then(() => this.#sendBatches());
    this.#sending = sent.catch(() => undefined);
    return sent;
  }

  async #sendBatches(): Promise<void> {
    for (let events = this.#outbox.take(); events.length; events = this.#outbox.take()) {
      try {
        this.#outbox.done((await this.#send({ events })).rejected);
      } catch (error) {
        if (!(error instanceof ClientError) || error.mayPass) {
          this.#outbox.putBack();
          throw error;
        }
        this.#outbox.refuse(error);
      }
    }
  }
}
