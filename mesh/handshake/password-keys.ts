import { CpaceGenerator, joinWithLengths } from "#mesh/handshake/cpace.js";
import type { NetworkSecret, Secrets } from "#mesh/secrets.js";

/** A secret of the network, ready for a handshake. */
export interface PasswordKey {
  readonly secret: NetworkSecret;
  readonly generator: CpaceGenerator;
}

/** Names the protocol, its version and the order of the ends in each exchange (`CI` of the draft). */
const CHANNEL = joinWithLengths(...["weave mesh", "2", "initiator", "responder"].map((text) => Buffer.from(text)));

/** The secrets of the network with their generators, each of which is computed once: it takes as long as ten multiplications. */
export class PasswordKeys {
  readonly #secrets: Secrets;
  /** By the bytes of the secret; an entry ends with its secret. */
  readonly #generators = new WeakMap<Uint8Array, CpaceGenerator>();

  constructor(secrets: Secrets) {
    this.#secrets = secrets;
  }

  /** Whether each handshake must prove a secret. */
  get required(): boolean {
    return this.#secrets.required;
  }

  /** Returns the secret for a dial; undefined: the handshake has none. */
  forDial(address: string): PasswordKey | undefined {
    return this.#ready(this.#secrets.forDial(address));
  }

  /** Returns the secret for an initiator that names this generation; undefined if this end has no password. */
  forInbound(generation: number): PasswordKey | undefined {
    return this.#ready(this.#secrets.forInbound(generation));
  }

  #ready(secret: NetworkSecret | undefined): PasswordKey | undefined {
    if (secret === undefined) return undefined;
    let generator = this.#generators.get(secret.key);
    if (generator === undefined) {
      generator = new CpaceGenerator({ password: secret.key, channel: CHANNEL });
      this.#generators.set(secret.key, generator);
    }
    return { secret, generator };
  }
}
