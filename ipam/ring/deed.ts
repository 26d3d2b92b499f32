import type { Interval } from "#ipam/ring/interval.js";
import { CAUSES, type Ownership } from "#ipam/ring/ring.js";
import type { PeerName } from "#mesh/peer.js";
import type { Signer, Verify } from "#mesh/signing.js";

/** Whether an ownership is the claim of a takeover: its new owner has signed it, and not the previous one. */
export function isClaim({ cause, pending, owner, from, deed }: Ownership): boolean {
  return cause === "rmpeer" && pending && deed?.by === owner && from !== undefined && from !== owner;
}

/** Returns the peer whose ownership ends by a decision; undefined for the first division. */
export function endedBy(value: Ownership): PeerName | undefined {
  return isClaim(value) ? value.from : value.deed?.by;
}

/** Signs a decision of this peer about a span. @param ring the id of the ring, for which alone the signature is valid */
export function sign(
  signer: Signer,
  by: PeerName,
  ring: string,
  { start, end }: Interval,
  value: Ownership,
): Ownership {
  const signature = signer.sign("ipam-transfer", signedBytes(ring, { start, end }, by, value));
  return { ...value, deed: { start, end, by, identity: signer.identity, signature } };
}

/** Whether the deed of an ownership is signed by an identity. */
export function isValid(verify: Verify, value: Ownership, ring: string, identity: string): boolean {
  const { deed } = value;
  return (
    deed !== undefined && verify(identity, "ipam-transfer", signedBytes(ring, deed, deed.by, value), deed.signature)
  );
}

function signedBytes(ring: string, { start, end }: Interval, by: PeerName, value: Ownership): Uint8Array {
  const { owner, epoch, version, pending, since, cause, from } = value;
  const fields = [ring, String(start), String(end), by, owner, epoch, version, pending, since, CAUSES.indexOf(cause)];
  return Buffer.from(JSON.stringify([...fields, from ?? ""]));
}
