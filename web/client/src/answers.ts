/** From the bytes of an answer to a value or an error. No network is known here. */

import { type ClientError, Misunderstood, Refused, Unavailable } from "./errors.js";
import type { Json } from "./events.js";
import { REFUSAL_CHARS_MAX } from "./limits.js";
import { type Read, any, list, object, or, text } from "./reading.js";
import { type Erasure, type Job, type Readiness, type Replay, job, replay, sentErasure } from "./replies.js";

const TOO_MANY = 429;
const ACCEPTED = 202;
const NOT_READY = 503;

/** What came back. */
export interface Answer {
  status: number;
  body: Uint8Array;
  retryAfter: string;
  location: string;
}

interface Told {
  code: string;
  message: string;
  details: unknown[];
}

const told = object<Told>({ code: text, message: text, details: or(list(any), []) });
const readyReply = object<{ status: string; position: string; reason: string; warnings: string[] }>({
  status: text,
  position: or(text, ""),
  reason: or(text, ""),
  warnings: or(list(text), []),
});

/** Reads answers of one type; throws the error that an answer is. */
export const readAs =
  <T>(read: Read<T>) =>
  (answer: Answer): T => {
    check(answer);
    return read(parsed(answer.body), "it");
  };

/** Throw what an answer says that is not 2xx. */
export function check(answer: Answer): void {
  if (answer.status < 200 || answer.status >= 300) {
    throw errorOf(answer);
  }
}

/** The error that an answer is. */
export function errorOf(answer: Answer): ClientError {
  const { status } = answer;
  if (status >= 300 && status < 400) {
    const to = answer.location ? ` to ${answer.location.slice(0, REFUSAL_CHARS_MAX)}` : "";
    return new Misunderstood(`that address leads elsewhere (${status}${to}): give the client the server's own`);
  }
  const { code, message, details } = toldBy(answer);
  if (status === TOO_MANY || status >= 500) {
    return new Unavailable(status, code, message, seconds(answer.retryAfter));
  }
  return status >= 400 ? new Refused(status, code, message, details) : new Misunderstood(`status ${status} is not in the contract`);
}

/** What a replay found, or the job that is still at it. */
export function readReplay(answer: Answer): Replay | Job {
  return answer.status === ACCEPTED ? readAs(job)(answer) : readAs(replay)(answer);
}

/** A signed receipt with the text that is signed. */
export function readErasure(answer: Answer): Erasure {
  const { receipt, signature, publicKey } = readAs(sentErasure)(answer);
  const body = decoded(answer.body);
  return { receipt, receiptText: objectAt(body, body.indexOf("{", body.indexOf('"receipt"'))), signature, publicKey };
}

/** Whether the server is ready; that it is not is an answer, too. */
export function readReadiness(answer: Answer): Readiness {
  if (answer.status === NOT_READY) {
    try {
      return { ready: false, reason: readyReply(parsed(answer.body), "it").reason, position: "", warnings: [] };
    } catch {
      throw errorOf(answer);
    }
  }
  const { position, warnings } = readAs(readyReply)(answer);
  return { ready: true, reason: "", position, warnings };
}

/** Whether the process answers as ours does. */
export function readHealth(answer: Answer): boolean {
  return readAs(readyReply)(answer).status === "ok";
}

/** JSON of a body; throws `Misunderstood`. */
export function parsed(body: Uint8Array): unknown {
  try {
    return JSON.parse(decoded(body));
  } catch {
    throw new Misunderstood(`the answer is no JSON: ${shown(body)}`);
  }
}

function decoded(body: Uint8Array): string {
  return new TextDecoder("utf-8", { fatal: true }).decode(body);
}

/** Code and message of an error; where it is not one of ours, by its status, with the beginning of its text. */
function toldBy(answer: Answer): Told {
  try {
    return told((parsed(answer.body) as Json | null)?.["error"], "error");
  } catch {
    return { code: `http_${answer.status}`, message: `status ${answer.status}: ${shown(answer.body)}`, details: [] };
  }
}

function shown(body: Uint8Array): string {
  const words = new TextDecoder().decode(body.slice(0, 4 * REFUSAL_CHARS_MAX)).split(/\s+/).filter(Boolean);
  return words.join(" ").slice(0, REFUSAL_CHARS_MAX) || "nothing";
}

/** What Retry-After says; null for a date, which our server does not send. */
function seconds(said: string): number | null {
  return /^\d{1,9}$/.test(said) ? Number(said) : null;
}

/** The text of the object that begins at a place of valid JSON. */
function objectAt(json: string, begin: number): string {
  let depth = 0;
  let quoted = false;
  for (let at = begin; at < json.length; at += 1) {
    const sign = json[at];
    if (quoted) {
      if (sign === "\\") {
        at += 1;
      } else if (sign === '"') {
        quoted = false;
      }
    } else if (sign === '"') {
      quoted = true;
    } else if (sign === "{") {
      depth += 1;
    } else if (sign === "}" && --depth === 0) {
      return json.slice(begin, at + 1);
    }
  }
  throw new Misunderstood("the answer is not in the contract: its receipt does not end");
}
