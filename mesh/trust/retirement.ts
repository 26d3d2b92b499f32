import * as z from "zod/mini";
import { countShape, keyShape, nicknameShape, type PeerIdentity, type PeerName, peerNameShape } from "#mesh/peer.js";
import { type Signer, signatureShape, type Verify } from "#mesh/signing.js";

/** The last statement of an identity: it is never used again, and its names are free. Only `weave reset` makes it. */
export interface Retirement {
  readonly name: PeerName;
  readonly nickname: string;
  readonly identity: string;
  /** Milliseconds since the Unix epoch, by the retired peer's clock; for display. */
  readonly at: number;
  readonly signature: Uint8Array;
}

export const retirementShape = z.object({
  name: peerNameShape,
  nickname: nicknameShape,
  identity: keyShape,
  at: countShape,
  signature: signatureShape,
});

/** Retires the identity of `signer`. @param wall milliseconds since the Unix epoch */
export function retire(
  { name, nickname }: Pick<PeerIdentity, "name" | "nickname">,
  signer: Signer,
  wall: number,
): Retirement {
  const content = { name, nickname, at: Math.floor(wall) };
  return { ...content, identity: signer.identity, signature: signer.sign("retirement", signedBytes(content)) };
}

/** Whether the identity itself has signed its retirement. */
export function isRetirement(retirement: Retirement, verify: Verify): boolean {
  return verify(retirement.identity, "retirement", signedBytes(retirement), retirement.signature);
}

const signedBytes = ({ name, nickname, at }: Pick<Retirement, "name" | "nickname" | "at">): Uint8Array =>
  Buffer.from(JSON.stringify([name, nickname, at]));
