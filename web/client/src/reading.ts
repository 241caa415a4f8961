/** Reads parsed JSON as what it should be; throws `Misunderstood`, with the place, where it is something else. */

import { Misunderstood } from "./errors.js";
import type { Json } from "./events.js";

export type Read<T> = (value: unknown, where: string) => T;

function wrong(where: string, wanted: string): never {
  throw new Misunderstood(`the answer is not in the contract: ${where} is no ${wanted}`);
}

export const any: Read<unknown> = (value) => value;

export const text: Read<string> = (value, where) => (typeof value === "string" ? value : wrong(where, "text"));

export const number: Read<number> = (value, where) => (typeof value === "number" ? value : wrong(where, "number"));

export const whole: Read<number> = (value, where) => (Number.isInteger(value) ? (value as number) : wrong(where, "whole number"));

export const flag: Read<boolean> = (value, where) => (typeof value === "boolean" ? value : wrong(where, "true or false"));

export const record: Read<Json> = (value, where) =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Json) : wrong(where, "object");

export const list =
  <T>(of: Read<T>): Read<T[]> =>
  (value, where) =>
    Array.isArray(value) ? value.map((one, place) => of(one, `${where}[${place}]`)) : wrong(where, "list");

export const dict =
  <T>(of: Read<T>): Read<Record<string, T>> =>
  (value, where) =>
    Object.fromEntries(Object.entries(record(value, where)).map(([name, one]) => [name, of(one, `${where}.${name}`)]));

/** What may be null or missing. */
export const maybe =
  <T>(of: Read<T>): Read<T | null> =>
  (value, where) =>
    value === undefined || value === null ? null : of(value, where);

/** What may be missing. */
export const or =
  <T>(of: Read<T>, otherwise: T): Read<T> =>
  (value, where) =>
    value === undefined ? otherwise : of(value, where);

/** The named fields of an object, and no others. */
export const object =
  <T extends object>(shape: { [Name in keyof T]: Read<T[Name]> }): Read<T> =>
  (value, where) => {
    const held = record(value, where);
    const names = Object.keys(shape) as (keyof T & string)[];
    return Object.fromEntries(names.map((name) => [name, shape[name](held[name], `${where}.${name}`)])) as T;
  };
