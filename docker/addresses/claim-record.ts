import * as z from "zod/mini";
import { textFormat, type Versioned } from "#mesh/replica/record-format.js";
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

/** Estimated memory of a claim in the index, in bytes, beside its texts. */
const INDEX_BYTES = 250;

/** The format of claims, for the replica. */
export const CLAIM_FORMAT = textFormat<ClaimFields>(
  "address claims",
  {
    hostname: z.literal(HOSTNAME),
    address: z.string().check(z.maxLength(45), z.refine(isAddress)),
    ident: z.string().check(z.maxLength(255)),
  },
  ({ address, ident }) => INDEX_BYTES + 2 * (address.length + ident.length),
);

/** Compares by origin, endpoint and address, for sort(). */
export function compareClaims(a: Versioned<ClaimFields>, b: Versioned<ClaimFields>): number {
  return compareText(a.origin, b.origin) || compareText(a.ident, b.ident) || compareText(a.address, b.address);
}
