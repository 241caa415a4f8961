/** How often a call is sent, and how long is waited in between. No network is known here. */

import { type ClientError, Unavailable } from "./errors.js";
import { ATTEMPTS_MAX } from "./limits.js";

const FIRST_WAIT_MS = 100;
const WAIT_MS_MAX = 5_000;

/** The attempts of one call, within the time there is. */
export class Attempts {
  readonly #again: boolean;
  readonly #attemptMs: number;
  readonly #endsMs: number;
  #made = 0;

  /** `attemptMs` bounds one attempt, `withinMs` all of them together. */
  constructor(again: boolean, attemptMs: number, withinMs: number, nowMs: number) {
    this.#again = again;
    this.#attemptMs = attemptMs;
    this.#endsMs = nowMs + withinMs;
  }

  /** How long the next attempt may take; not more than is left. */
  timeoutMs(nowMs: number): number {
    this.#made += 1;
    return Math.max(Math.min(this.#attemptMs, this.#endsMs - nowMs), 0);
  }

  /** How long to wait before the next attempt, with a part of it by `spread` in [0, 1); null: there is none. */
  waitMs(error: ClientError, nowMs: number, spread: number): number | null {
    if (!this.#again || !error.mayPass || this.#made >= ATTEMPTS_MAX) {
      return null;
    }
    const longestMs = Math.min(FIRST_WAIT_MS * 2 ** (this.#made - 1), WAIT_MS_MAX);
    let waitMs = longestMs * (0.5 + spread / 2);
    if (error instanceof Unavailable && error.retryAfterS !== null) {
      waitMs += error.retryAfterS * 1_000;
    }
    return nowMs + waitMs < this.#endsMs ? waitMs : null;
  }
}
