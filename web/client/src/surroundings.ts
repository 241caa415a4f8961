/** The door by which time and chance come into the client. Tests pass one of their own. */

import { randomUUID } from "node:crypto";

export interface Surroundings {
  /** Milliseconds since 1970. */
  nowMs(): number;
  /** Milliseconds since some time, which no change of the clock moves. */
  elapsedMs(): number;
  /** A number in [0, 1), so that many clients do not come back at once. */
  spread(): number;
  /** An id that nothing else has. */
  messageId(): string;
  pause(ms: number): Promise<void>;
}

/** Those of the machine. */
export const realSurroundings: Surroundings = {
  nowMs: () => Date.now(),
  elapsedMs: () => performance.now(),
  spread: () => Math.random(),
  messageId: () => randomUUID(),
  pause: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
};
