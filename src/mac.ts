import { WeaveError } from "#src/errors.js";

/** A MAC address, or a peer name, in canonical text: six lower-case octets, `8a:3e:00:00:00:01`. */
export type MacText = string;

const WRITTEN = /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i;
const FULL = /^[0-9a-f]{1,2}(:[0-9a-f]{1,2}){5}$/;

/**
 * Parses six hexadecimal octets separated by colons. One `::` may stand for a run of zero octets (`::1`, `1::`, `1::1`).
 *
 * @throws WEAVE_PEER_INVALID
 */
export function parseMac(text: string): MacText {
  const lower = text.toLowerCase();
  const halves = lower.split("::");
  let full = lower;
  if (halves.length === 2) {
    const left = halves[0] === "" ? [] : halves[0].split(":");
    const right = halves[1] === "" ? [] : halves[1].split(":");
    const zeros = 6 - left.length - right.length;
    if (zeros >= 1) full = [...left, ...Array(zeros).fill("00"), ...right].join(":");
  }
  if (!FULL.test(full)) {
    throw new WeaveError("WEAVE_PEER_INVALID", `invalid peer name format: ${JSON.stringify(text.slice(0, 64))}`, {
      next: "A peer name is six hexadecimal octets, such as 8a:3e:00:00:00:01.",
    });
  }
  return full
    .split(":")
    .map((octet) => octet.padStart(2, "0"))
    .join(":");
}

/** Whether a text is a MAC as it is usually written: two digits for each octet, of either case. */
export const isMac = (text: string): boolean => WRITTEN.test(text);

/** Formats the six bytes at `offset`. */
export function macText(bytes: Uint8Array, offset = 0): MacText {
  let text = "";
  for (let i = 0; i < 6; i++) text += (i === 0 ? "" : ":") + bytes[offset + i].toString(16).padStart(2, "0");
  return text;
}

/** Converts a MAC to a whole number below 2^48, which the frame path uses as a key. */
export function macNumber(text: MacText): number {
  return Number.parseInt(text.replaceAll(":", ""), 16);
}

/** The inverse of {@link macNumber}. */
export function macFromNumber(value: number): MacText {
  return value
    .toString(16)
    .padStart(12, "0")
    .replace(/(..)(?=.)/g, "$1:");
}

/** The lowest bit of the first octet marks a group (IEEE 802). Bitwise operators have 32 bits only. */
const GROUP_BIT = 0x0100_0000_0000;

/** Whether a MAC, as a number, is that of a group: multicast or broadcast. */
export const isGroupMac = (mac: number): boolean => Math.floor(mac / GROUP_BIT) % 2 === 1;
