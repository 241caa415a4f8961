/** What callers give, looked at before anything is sent. */

const UNESCAPED_ELSEWHERE = /[!'()*]/g;
/** A name that a route has: an item of that id is called with its first letter escaped. */
const DELETE = "delete";

/** Throws TypeError for a name that means nothing. */
export function checkKnown(given: object, names: readonly string[], what: string): void {
  for (const name of Object.keys(given)) {
    if (!names.includes(name)) {
      throw new TypeError(`${what} has no ${name}; there are ${names.join(", ")}`);
    }
  }
}

/** The list; TypeError for anything else. */
export function several<T>(given: readonly T[], name: string): T[] {
  if (!Array.isArray(given)) {
    throw new TypeError(`${name} is a list`);
  }
  return [...given];
}

/** A time as it stands on the wire. */
export function timeText(at: Date | string): string {
  if (typeof at === "string") {
    return at;
  }
  if (Number.isNaN(at.getTime())) {
    throw new RangeError("timestamp is a date that is none");
  }
  return at.toISOString();
}

/** An id as one part of a path; RangeError for what no path can hold. */
export function escaped(id: string): string {
  if (typeof id !== "string") {
    throw new TypeError("an id is a text");
  }
  if (id === "" || id === "." || id === "..") {
    throw new RangeError(`an id cannot be ${JSON.stringify(id)}`);
  }
  return id === DELETE ? `%64${id.slice(1)}` : quoted(id);
}

/** A text as a part of an address. */
export function quoted(text: string): string {
  return encodeURIComponent(text).replace(UNESCAPED_ELSEWHERE, (one) => `%${one.charCodeAt(0).toString(16).toUpperCase()}`);
}

/** JSON; RangeError for numbers that are none there, TypeError for what is no JSON at all. */
export function encoded(body: unknown): string {
  const text = JSON.stringify(body);
  checkJson(body, "the body");
  return text;
}

function checkJson(value: unknown, name: string): void {
  if (typeof value === "number" && !Number.isFinite(value)) {
    throw new RangeError(`${name} is ${value}: send a finite number, or null`);
  }
  if (typeof value === "function" || typeof value === "symbol" || value instanceof Map || value instanceof Set) {
    throw new TypeError(`${name} is no JSON`);
  }
  if (typeof value === "object" && value !== null) {
    for (const [inner, held] of Object.entries(value)) {
      checkJson(held, inner);
    }
  }
}
