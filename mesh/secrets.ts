import { limitSize } from "#src/limit-size.js";

/** Bytes of a network's secret. */
export const SECRET_BYTES = 32;
/** Secrets that are accepted at the same time: the newest, and those before it. */
export const MAX_ACCEPTED = 3;
/** Labels of orders: those above are relative, see {@link NetworkSecret.generation}. */
export const MAX_ORDER_LABEL = 65_000;
/** Relative label of the newest secret of the other end. */
const NEWEST = 0;
/** Relative label of the secret before the newest one of the other end; those of earlier ones are one less each. */
const EARLIER = 65_535;
/** Addresses of which is remembered that a secret was refused there. */
const REMEMBERED = 4_096;

/** The secret of a network with a password. */
export interface NetworkSecret {
  /**
   * The label of the secret, 0 to 65,535, in clear in the first message of a handshake: it selects one of the secrets that the
   * responder accepts, and proves nothing. A secret that an order has set has a random label, 1 to {@link MAX_ORDER_LABEL}. A peer
   * that knows no order, only a password, uses labels that are relative to the other end's secrets.
   */
  readonly generation: number;
  /** {@link SECRET_BYTES} bytes: scrypt of the password. */
  readonly key: Uint8Array;
}

/** The secrets of the network, as a handshake uses them. Without a password there is none. */
export interface Secrets {
  /** Whether each handshake must prove a secret. False: one without a secret is accepted, perhaps besides others. */
  readonly required: boolean;
  /**
   * Returns the secret for a dial; undefined: the handshake has none. The newest one comes first; after a refusal at this address
   * the earlier ones that are still accepted, in turn.
   */
  forDial(address: string): NetworkSecret | undefined;
  /** Records that the other end has refused the secret of the last dial to an address. */
  refused(address: string): void;
  /** Records that a handshake with a dialled address has succeeded. */
  succeeded(address: string): void;
  /** Returns the secret that an initiator names by its label; undefined if no secret is accepted: the network has no password. */
  forInbound(generation: number): NetworkSecret | undefined;
  /** Whether a secret (undefined: none) is not the newest one. It admits only peers whose identity was known before the change. */
  isEarlier(secret: NetworkSecret | undefined): boolean;
}

/** The accepted secrets, newest first. An undefined one stands for a handshake without a secret. */
export class SecretRing implements Secrets {
  #accepted: readonly (NetworkSecret | undefined)[];
  /** The number of refusals of each address since its last success. */
  readonly #refusals = new Map<string, number>();

  constructor(first: NetworkSecret | undefined) {
    this.#accepted = [first];
  }

  /** Replaces the accepted secrets. @param accepted newest first, at least one; more than {@link MAX_ACCEPTED} are cut off */
  accept(accepted: readonly (NetworkSecret | undefined)[]): void {
    this.#accepted = accepted.slice(0, MAX_ACCEPTED);
    this.#refusals.clear();
  }

  get accepted(): readonly (NetworkSecret | undefined)[] {
    return this.#accepted;
  }

  get required(): boolean {
    return !this.#accepted.includes(undefined);
  }

  forDial(address: string): NetworkSecret | undefined {
    const dials = this.#dials();
    return dials[(this.#refusals.get(address) ?? 0) % dials.length];
  }

  refused(address: string): void {
    const count = (this.#refusals.get(address) ?? 0) + 1;
    this.#refusals.delete(address);
    this.#refusals.set(address, count);
    limitSize(this.#refusals, REMEMBERED);
  }

  succeeded(address: string): void {
    this.#refusals.delete(address);
  }

  forInbound(generation: number): NetworkSecret | undefined {
    const secrets = this.#accepted.filter((secret) => secret !== undefined);
    const earlier = EARLIER - generation + 1;
    if (earlier <= MAX_ACCEPTED) return secrets[Math.min(earlier, secrets.length - 1)];
    return (generation === NEWEST ? undefined : secrets.find((one) => one.generation === generation)) ?? secrets[0];
  }

  isEarlier(secret: NetworkSecret | undefined): boolean {
    const newest = this.#accepted[0];
    if (secret === undefined || newest === undefined) return secret !== newest;
    return !Buffer.from(secret.key).equals(newest.key);
  }

  /**
   * Returns what a dial tries, in this order. The other end may know orders that this one does not: a secret that no order has set
   * is dialled by all relative labels.
   */
  #dials(): readonly (NetworkSecret | undefined)[] {
    return this.#accepted.flatMap((secret, position) => {
      if (secret === undefined || secret.generation !== NEWEST) return [secret];
      const labels = [NEWEST, ...Array.from({ length: MAX_ACCEPTED - 1 }, (_, index) => EARLIER - index)];
      // What is not the newest here is hardly the newest there.
      return labels.slice(position === 0 ? 0 : 1).map((generation) => ({ ...secret, generation }));
    });
  }
}

/** The secrets of a mesh that is never rekeyed. @param key {@link SECRET_BYTES} bytes; undefined: no password */
export function oneSecret(key: Uint8Array | undefined): SecretRing {
  // A copy: a secret that is replaced is overwritten.
  return new SecretRing(key === undefined ? undefined : { generation: NEWEST, key: Uint8Array.from(key) });
}
