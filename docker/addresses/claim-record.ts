import * as z from "zod/mini";
import { RECORD_OVERHEAD_BYTES, type RecordFormat } from "#mesh/replica/record-format.js";
import { canonicalIpv6, isIpv4 } from "#src/address.js";
import { compareText } from "#src/text.js";

/** Host name in every claim. On the wire and on disk a claim has the form of a DNS record, as in earlier versions; this name marks it. */
const HOSTNAME = "held.claims.";

/** The claim of one address by an endpoint of a Docker network. */
export interface ClaimFields {
  readonly hostname: typeof HOSTNAME;
  /** IPv4, or IPv6 in canonical form (RFC 5952), so that one address has one text. */
  readonly address: string;
  /** Id of the endpoint. */
  readonly ident: string;
}

/** The fields of a claim, for the replica. */
export const claimOf = (address: string, endpoint: string): ClaimFields => ({
  hostname: HOSTNAME,
  address,
  ident: endpoint,
});

const isAddress = (text: string): boolean => isIpv4(text) || canonicalIpv6(text) === text;

/** Fields, order and size of claims, for the replica. */
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
