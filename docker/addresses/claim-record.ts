import { z } from "zod/mini";
import { RECORD_OVERHEAD_BYTES, type RecordFormat, type Versioned } from "#mesh/replica/record-format.js";
import { canonicalIpv6, isIpv4 } from "#src/address.js";
import { compareText } from "#src/text.js";

/** On the wire and on disk a claim is a record of names with this one: so all versions understand one another. */
const HOSTNAME = "held.claims.";

/** An address that an endpoint of a Docker network has, on one host. */
export interface ClaimFields {
  readonly hostname: typeof HOSTNAME;
  /** IPv4, or IPv6 in canonical form: else one address could be claimed twice. */
  readonly address: string;
  /** The endpoint. */
  readonly ident: string;
}

export type ClaimRecord = Versioned<ClaimFields>;

export const claimOf = (address: string, endpoint: string): ClaimFields => ({
  hostname: HOSTNAME,
  address,
  ident: endpoint,
});

const isAddress = (text: string): boolean => isIpv4(text) || canonicalIpv6(text) === text;

export const CLAIM_FORMAT: RecordFormat<ClaimFields> = {
  name: "address claims",
  fields: {
    hostname: z.literal(HOSTNAME),
    address: z.string().check(z.maxLength(45), z.refine(isAddress)),
    ident: z.string().check(z.maxLength(255)),
  },
  compare: (a, b) =>
    compareText(a.origin, b.origin) || compareText(a.ident, b.ident) || compareText(a.address, b.address),
  bytes: ({ hostname, ident }) => RECORD_OVERHEAD_BYTES + Buffer.byteLength(hostname) + Buffer.byteLength(ident),
};
