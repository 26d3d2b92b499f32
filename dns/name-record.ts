import * as z from "zod/mini";
import { fold } from "#dns/name.js";
import { RECORD_OVERHEAD_BYTES, type RecordFormat, type Versioned } from "#mesh/replica/record-format.js";
import { isIpv4 } from "#src/address.js";
import { compareText } from "#src/text.js";

/** A name of a container, on one host. */
export interface NameFields {
  /** The name as typed, with a final dot. */
  readonly hostname: string;
  /** IPv4 address as a dotted quad: the answer to a query. */
  readonly address: string;
  /** The id of the container. */
  readonly ident: string;
}

export type NameRecord = Versioned<NameFields>;

export const NAME_FORMAT: RecordFormat<NameFields> = {
  name: "names",
  fields: {
    hostname: z.string().check(z.maxLength(254)),
    address: z.string().check(z.maxLength(45), z.refine(isIpv4)),
    ident: z.string().check(z.maxLength(255)),
  },
  compare: compareNames,
  bytes: ({ hostname, ident }) => RECORD_OVERHEAD_BYTES + Buffer.byteLength(hostname) + Buffer.byteLength(ident),
};

/** Compares by folded name, then origin, id and address, for sort(): the order of Weave Net's lists. */
export function compareNames(a: NameRecord, b: NameRecord): number {
  return (
    compareText(fold(a.hostname), fold(b.hostname)) ||
    compareText(a.origin, b.origin) ||
    compareText(a.ident, b.ident) ||
    compareText(a.address, b.address) ||
    compareText(a.hostname, b.hostname)
  );
}
