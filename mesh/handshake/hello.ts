import * as z from "zod/mini";
import { MAX_COUNT } from "#mesh/counter.js";
import { identityShape, type PeerIdentity } from "#mesh/peer.js";
import { isSignedBy, signatureShape } from "#mesh/signing.js";
import { decode } from "#src/codec.js";
import { WeaveError } from "#src/errors.js";

/** The description of itself that each end sends, encrypted, to an end that has proven the password. */
export interface Hello extends PeerIdentity {
  /** The identity's signature of {@link certifiedBytes}: the X25519 key belongs to the identity. */
  readonly certificate: Uint8Array;
  /** Random for each connection: it decides which of two connections between the same peers stays. */
  readonly connectionId: number;
  /** Time of the sender's clock, in milliseconds since the Unix epoch. */
  readonly clock: number;
  /** Whether this end allows unencrypted frames; frames are unencrypted if both ends do. */
  readonly clear: boolean;
  /** Carriers of this end, best first: see `agreeOnCarriers`. */
  readonly overlays: readonly string[];
  /** Version of weave; for people alone. */
  readonly version?: string | undefined;
}

const helloShape = z.object({
  ...identityShape.shape,
  certificate: signatureShape,
  connectionId: z.number().check(z.int(), z.gte(0), z.lte(0xffffffff)),
  clock: z.number().check(z.int(), z.gte(0), z.lte(MAX_COUNT)),
  clear: z.boolean(),
  overlays: z.array(z.string().check(z.maxLength(16))).check(z.maxLength(8)),
  // What is wrong with it must not keep two peers apart.
  version: z.catch(z.optional(z.string().check(z.regex(/^[\w.+-]{1,32}$/))), undefined),
});

/** Returns what a certificate signs: that a peer of this name has this X25519 key. */
export function certifiedBytes({ name, key }: Pick<PeerIdentity, "name" | "key">): Uint8Array {
  return Buffer.from(`${name} ${key}`);
}

/**
 * Decodes the hello of the other end.
 *
 * @param proven the static X25519 key that the handshake has proven
 * @throws WEAVE_MESSAGE_MALFORMED; WEAVE_HANDSHAKE when the hello contains another key, or its identity has not signed the key
 */
export function decodeHello(payload: Uint8Array, proven: Uint8Array): Hello {
  const hello = decode(helloShape, payload, "the peer's hello");
  const who = `${hello.name}(${hello.nickname})`;
  if (hello.key !== Buffer.from(proven).toString("hex"))
    throw new WeaveError("WEAVE_HANDSHAKE", `${who} names a key that is not its own`);
  if (!isSignedBy(hello.identity, "static-key", certifiedBytes(hello), hello.certificate))
    throw new WeaveError("WEAVE_HANDSHAKE", `${who} names an identity that is not its own`);
  return hello;
}
