import { z } from "zod/mini";
import { MAX_AHEAD_MS } from "#mesh/counter.js";
import type { KeyPair } from "#mesh/noise.js";
import { countShape, peerNameFromBytes } from "#mesh/peer.js";
import { checkedPublic } from "#mesh/x25519.js";
import type { Clock } from "#src/clock.js";
import { type MacText, parseMac } from "#src/mac.js";
import type { Random } from "#src/random.js";
import { readStored, type Store } from "#src/store.js";

export interface Identity {
  readonly name: MacText;
  readonly staticKey: KeyPair;
  readonly incarnation: number;
}

export interface IdentitySources {
  readonly store: Store;
  readonly clock: Clock;
  readonly random: Random;
  /** `--name` */
  readonly name: string | undefined;
  /** The MAC of a bridge that is there from an earlier start. */
  readonly bridgeMac: MacText | undefined;
  /** Made from the machine's identifiers; undefined if it has none. */
  readonly machine: Uint8Array | undefined;
}

const secretShape = z.instanceof(Uint8Array).check(z.refine((bytes) => (bytes as Uint8Array).length === 32));
const textShape = z.string();
const KEY = "incarnation";

/** Stores the incarnation, so that the next start takes a later one. @throws WEAVE_STORE */
export function saveIncarnation(store: Store, incarnation: number): void {
  store.put(KEY, incarnation);
}

/**
 * The peer's identity, made at the first start and stored. The name is the first of: the one that the user chose, the MAC of the
 * bridge, the stored one, one made from the machine's identifiers, random bytes.
 *
 * @throws WEAVE_STORE when a stored value is invalid
 */
export function loadIdentity({ store, clock, random, name, bridgeMac, machine }: IdentitySources): Identity {
  const stored = <T>(key: string, shape: z.ZodMiniType<T>) =>
    readStored(store, key, shape, "'weave reset' starts again with another identity.");
  let secret = stored("secret", secretShape) as Uint8Array | undefined;
  if (secret === undefined) {
    secret = random.bytes(32);
    store.put("secret", secret);
  }
  const kept = stored("peername", textShape);
  const chosen =
    name === undefined ? (bridgeMac ?? kept ?? peerNameFromBytes(machine ?? random.bytes(6))) : parseMac(name);
  if (chosen !== kept) store.put("peername", chosen);
  const now = clock.wall();
  const next = (stored(KEY, countShape) ?? 0) + 1;
  // Later than that of every earlier start, even if the clock was set back. But not so far ahead that other peers reject it: if
  // this clock is behind, they send the record of the last start, and the mesh takes a later incarnation than that.
  const incarnation = next <= now + MAX_AHEAD_MS ? Math.max(now, next) : now;
  saveIncarnation(store, incarnation);
  const secretBytes = Uint8Array.from(secret);
  const staticKey = { secret: secretBytes, public: checkedPublic(secretBytes) };
  return { name: chosen, staticKey, incarnation };
}
