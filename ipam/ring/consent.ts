import type { Ownership, Span } from "#ipam/ring/ring.js";
import type { PeerName } from "#mesh/peer.js";

/** A takeover: which peer has decided it, about which one, and when. All spans that it takes have these in common. */
export interface TakeoverKey {
  readonly owner: PeerName;
  readonly from: PeerName;
  readonly since: number;
}

/** The peers that have agreed to a takeover, with their signatures. */
export interface Consent extends TakeoverKey {
  readonly agreed: readonly (readonly [peer: PeerName, signature: Uint8Array])[];
}

/** Returns the takeover to which an ownership belongs; undefined if it did not come from one. */
export function takeoverOf({ cause, owner, from, since }: Ownership): TakeoverKey | undefined {
  return cause === "rmpeer" && from !== undefined ? { owner, from, since } : undefined;
}

/** Returns the takeovers that some spans belong to. */
export const takeoversOf = (spans: readonly Span[]): TakeoverKey[] =>
  spans.map(({ value }) => takeoverOf(value)).filter((each) => each !== undefined);
