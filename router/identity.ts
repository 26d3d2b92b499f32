import { z } from "zod/mini";
import { type KeyPair, keyPair } from "#mesh/noise.js";
import { peerNameFromBytes } from "#mesh/peer.js";
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
const countShape = z.number().check(z.int(), z.gte(0));

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
  // Later than every earlier life, even if the clock was set back; later than a lost database's lives by the clock.
  const incarnation = Math.max(clock.wall(), (stored("incarnation", countShape) ?? 0) + 1);
  store.put("incarnation", incarnation);
  return { name: chosen, staticKey: keyPair(Uint8Array.from(secret)), incarnation };
}
