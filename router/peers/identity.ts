import * as z from "zod/mini";
import { MAX_AHEAD_MS } from "#mesh/counter.js";
import type { KeyPair } from "#mesh/handshake/noise.js";
import { checkedPublic } from "#mesh/handshake/x25519.js";
import { countShape, peerNameFromBytes, peerNameShape } from "#mesh/peer.js";
import { makeSigner, SEED_BYTES, type Signer } from "#mesh/signing.js";
import type { Clock } from "#src/clock.js";
import { WeaveError } from "#src/errors.js";
import { type MacText, parseMac } from "#src/mac.js";
import type { Random } from "#src/random.js";
import { readStored, type Store } from "#src/store.js";

export interface Identity {
  readonly name: MacText;
  readonly staticKey: KeyPair;
  readonly signer: Signer;
  /** When the identity was made, in milliseconds since the Unix epoch. */
  readonly since: number;
  readonly incarnation: number;
}

export interface IdentitySources {
  readonly store: Store;
  readonly clock: Clock;
  readonly random: Random;
  /** The value of `--name`. */
  readonly name: string | undefined;
  /** The MAC of a bridge that exists from an earlier start. */
  readonly bridgeMac: MacText | undefined;
  /** Bytes derived from the machine's identifiers; undefined if it has none. */
  readonly machine: Uint8Array | undefined;
}

const secretShape = z.instanceof(Uint8Array).check(z.refine((bytes) => (bytes as Uint8Array).length === SEED_BYTES));
const textShape = z.string();
const KEY = "incarnation";
/** Key of the time at which the identity was made. */
const SINCE = "identitySince";

/** Stores the incarnation: the next start uses a higher one. @throws WEAVE_STORE */
export function saveIncarnation(store: Store, incarnation: number): void {
  store.put(KEY, incarnation);
}

/** Checks that a stored identity is complete. @throws WEAVE_STORE */
export function checkIdentity(store: Store): void {
  const next = "'weave reset' starts again with another identity.";
  const parts = [
    readStored<unknown>(store, "secret", secretShape, next),
    readStored<unknown>(store, "peername", peerNameShape, next),
    readStored<unknown>(store, KEY, countShape, next),
  ];
  // A backup of an early version has none: the router makes one.
  readStored<unknown>(store, "identity", secretShape, next);
  if (parts.includes(undefined))
    throw new WeaveError("WEAVE_STORE", "the database holds no identity of a peer", { next });
}

/**
 * Loads the peer's identity, which is created at the first start and stored. The name is the first that exists of: `--name`, the
 * MAC of the bridge, the stored name, a name derived from the machine's identifiers, random bytes.
 *
 * @throws WEAVE_STORE when a stored value is invalid
 */
export function loadIdentity({ store, clock, random, name, bridgeMac, machine }: IdentitySources): Identity {
  const stored = <T>(key: string, shape: z.ZodMiniType<T>) =>
    readStored(store, key, shape, "'weave reset' starts again with another identity.");
  const secret = (key: string): Uint8Array => {
    let bytes = stored(key, secretShape) as Uint8Array | undefined;
    if (bytes === undefined) {
      bytes = random.bytes(SEED_BYTES);
      store.put(key, bytes);
    }
    return Uint8Array.from(bytes);
  };
  const kept = stored("peername", textShape);
  const chosen =
    name === undefined ? (bridgeMac ?? kept ?? peerNameFromBytes(machine ?? random.bytes(6))) : parseMac(name);
  if (chosen !== kept) store.put("peername", chosen);
  const now = clock.wall();
  const next = (stored(KEY, countShape) ?? 0) + 1;
  // Higher than at every earlier start, even if the clock was set back. If the result is so far ahead of the clock that peers
  // would reject it, use the clock: peers then send the record of the last start, and the mesh takes a higher incarnation.
  const incarnation = next <= now + MAX_AHEAD_MS ? Math.max(now, next) : now;
  saveIncarnation(store, incarnation);
  const x25519 = secret("secret");
  const signer = makeSigner(secret("identity"));
  let since = stored(SINCE, countShape);
  if (since === undefined) {
    since = Math.floor(now);
    store.put(SINCE, since);
  }
  const staticKey = { secret: x25519, public: checkedPublic(x25519) };
  return { name: chosen, staticKey, signer, since, incarnation };
}
