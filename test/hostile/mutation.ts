import { Packr } from "msgpackr";
import type { Random } from "#src/random.js";

/** Plain data, as MessagePack has it. */
export type Plain =
  | null
  | undefined
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | Plain[]
  | { [key: string]: Plain };

const packr = new Packr({ useRecords: false, variableMapSize: true });
export const pack = (value: unknown): Uint8Array => packr.pack(value);
/** @returns undefined when the bytes are not MessagePack */
export function unpack(bytes: Uint8Array): Plain {
  try {
    return packr.unpack(bytes);
  } catch {
    return undefined;
  }
}

/** Counters at their limits, and what is no counter at all. */
export const EXTREMES: readonly Plain[] = [
  0,
  1,
  -1,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32 - 1,
  2 ** 32,
  2 ** 48 - 1,
  2 ** 48,
  2 ** 48 + 1,
  Number.MAX_SAFE_INTEGER,
  2 ** 53,
  2 ** 64,
  Number.MAX_VALUE,
  Number.MIN_VALUE,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  -0,
  0.5,
  -(2 ** 53),
  2n ** 63n,
  -(2n ** 63n),
  0n,
];

const STRANGE: readonly Plain[] = [
  null,
  undefined,
  true,
  "",
  "x",
  "\u0000\u001b[2J\u202e",
  "x".repeat(70_000),
  "__proto__",
  "constructor",
  "02:00:00:00:00:01",
  "ff:ff:ff:ff:ff:ff",
  "127.0.0.1:9999",
  "169.254.169.254:80",
  new Uint8Array(0),
  new Uint8Array(64),
  new Uint8Array(5_000),
  [],
  {},
];

/** A copy of a value with one part, seldom more, changed: a number at its limits, another type, a list cut or repeated, bytes flipped. */
export function mutate(value: Plain, random: Random): Plain {
  const leaf = random.below(12) === 0;
  if (leaf) return random.below(2) === 0 ? pick(EXTREMES, random) : pick(STRANGE, random);
  if (typeof value === "number" || typeof value === "bigint")
    return random.below(3) === 0 ? Number(value) + random.below(5) - 2 : pick(EXTREMES, random);
  if (typeof value === "boolean") return !value;
  if (typeof value === "string") return mutateText(value, random);
  if (value instanceof Uint8Array) return mutateBytes(value, random);
  if (Array.isArray(value)) return mutateList(value, random);
  if (value !== null && typeof value === "object") return mutateObject(value, random);
  return pick(STRANGE, random);
}

function mutateText(text: string, random: Random): Plain {
  switch (random.below(5)) {
    case 0:
      return text.slice(0, random.below(text.length + 1));
    case 1:
      return text + text;
    case 2: {
      const at = random.below(text.length + 1);
      return text.slice(0, at) + String.fromCharCode(random.below(0x3000)) + text.slice(at + 1);
    }
    case 3: {
      // A hexadecimal digit stays one: names, keys and hashes keep their form.
      const at = random.below(text.length + 1);
      return text.slice(0, at) + random.below(16).toString(16) + text.slice(at + 1);
    }
    default:
      return pick(STRANGE, random);
  }
}

export function mutateBytes(bytes: Uint8Array, random: Random): Uint8Array {
  const copy = Uint8Array.from(bytes);
  switch (random.below(4)) {
    case 0:
      return copy.subarray(0, random.below(copy.length + 1));
    case 1:
      return Buffer.concat([copy, random.bytes(1 + random.below(40))]);
    case 2: {
      // What is packed within a message is a message of its own.
      const inner = copy.length > 0 && copy.length < 70_000 ? unpack(copy) : undefined;
      if (inner !== undefined && typeof inner === "object") return pack(mutate(inner, random));
    }
  }
  if (copy.length > 0) copy[random.below(copy.length)] ^= 1 << random.below(8);
  return copy;
}

function mutateList(list: Plain[], random: Random): Plain[] {
  const copy = [...list];
  const at = random.below(copy.length + 1);
  switch (random.below(6)) {
    case 0:
      copy.splice(at, 1);
      return copy;
    case 1:
      if (at < copy.length) copy.push(copy[at]);
      return copy;
    case 2:
      return copy.reverse();
    case 3:
      if (random.below(20) === 0 && copy.length > 0)
        return Array.from({ length: 5_000 }, (_, i) => copy[i % copy.length]);
  }
  if (at < copy.length) copy[at] = mutate(copy[at], random);
  else copy.push(pick(STRANGE, random));
  return copy;
}

function mutateObject(object: { [key: string]: Plain }, random: Random): Plain {
  const keys = Object.keys(object);
  const copy = { ...object };
  const key = keys[random.below(Math.max(1, keys.length))];
  if (key === undefined) return { x: 1 };
  const action = random.below(12);
  if (action === 0) delete copy[key];
  else if (action === 1) copy[random.below(2) === 0 ? "constructor" : "more"] = copy[key];
  // The kind decides which parts are read: it is kept mostly.
  else if (action === 2 || key !== "kind") copy[key] = mutate(copy[key], random);
  return copy;
}

export const pick = <T>(from: readonly T[], random: Random): T => from[random.below(from.length)];
