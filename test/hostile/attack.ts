import type { PeerName } from "#mesh/peer.js";
import { systemRandom } from "#src/random.js";

/** What an attack works with. */
export interface Field {
  /** Addresses of the victims, `ip:port`. */
  readonly victims: readonly string[];
  readonly password: string | undefined;
  /** Source addresses that the attacker has. */
  readonly sources: readonly string[];
  readonly signal: AbortSignal;
  /** Adds to what is reported at the end. */
  count(what: string, by?: number): void;
}

export interface Attack {
  /** What is tried, and what must not come of it. */
  readonly what: string;
  /** Runs until the signal. */
  run(field: Field): Promise<void>;
}

/** A name that no peer has. */
export const anyName = (): PeerName => `02:66:${HEX(4).match(/../g)!.join(":")}` as PeerName;

/** Random hexadecimal digits. */
export const HEX = (bytes: number): string => Buffer.from(systemRandom.bytes(bytes)).toString("hex");
