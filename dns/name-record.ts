import * as z from "zod/mini";
import { fold } from "#dns/name.js";
import { textFormat, type Versioned } from "#mesh/replica/record-format.js";
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

/** Estimated memory of a name in the indexes and lists, in bytes, beside its texts. */
const INDEX_BYTES = 300;

export const NAME_FORMAT = textFormat<NameFields>(
  "names",
  {
    hostname: z.string().check(z.maxLength(254)),
    address: z.string().check(z.maxLength(45), z.refine(isIpv4)),
    ident: z.string().check(z.maxLength(255)),
  },
  // The indexes have the folded name, too.
  ({ hostname, address, ident }) => INDEX_BYTES + 2 * (2 * hostname.length + address.length + ident.length),
);

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
