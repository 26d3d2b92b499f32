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
  /** Made from what the system calls itself; undefined where nothing does. */
  readonly machine: Uint8Array | undefined;
}

const secretShape = z.instanceof(Uint8Array).check(z.refine((bytes) => (bytes as Uint8Array).length === 32));
const textShape = z.string();
const KEY = "incarnation";

/** Notes that this life goes by a later incarnation. @throws WEAVE_STORE */
export function saveIncarnation(store: Store, incarnation: number): void {
  store.put(KEY, incarnation);
}

/**
 * Who we are, made at the first start and kept. The name is the first of: what was asked for, the MAC of our bridge, what
 * was kept, what the machine's identifiers give, random bytes.
 *
 * @throws WEAVE_STORE when what is stored makes no sense
 */
export function loadIdentity({ store, clock, random, name, bridgeMac, machine }: IdentitySources): Identity {
  const stored = <T>(key: string, shape: z.ZodMiniType<T>) =>
    readStored(store, key, shape, "'weave reset' starts anew with another identity.");
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
  // Later than every earlier life, even if the clock was set back. Not where it would be so far ahead that others refuse
  // it: if our own clock is behind, they show us our last life's record, and the mesh goes beyond it.
  const incarnation = next <= now + MAX_AHEAD_MS ? Math.max(now, next) : now;
  saveIncarnation(store, incarnation);
  const secretBytes = Uint8Array.from(secret);
  const staticKey = { secret: secretBytes, public: checkedPublic(secretBytes) };
  return { name: chosen, staticKey, incarnation };
}
