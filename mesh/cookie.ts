import { createHmac, timingSafeEqual } from "node:crypto";
import type { Clock } from "#src/clock.js";
import type { Random } from "#src/random.js";

export const COOKIE_BYTES = 16;
/** As in WireGuard, a cookie is valid for two minutes: the secret changes as often, and the previous one still counts. */
const SECRET_MS = 120_000;

/**
 * Proof, without any state, that the client which begins a handshake receives at the address that it sends from. Required
 * before the first Diffie-Hellman while many handshakes are in progress.
 */
export class CookieJar {
  readonly #clock: Clock;
  readonly #random: Random;
  #secrets: [Uint8Array, Uint8Array];
  #since: number;

  constructor(clock: Clock, random: Random) {
    this.#clock = clock;
    this.#random = random;
    this.#secrets = [random.bytes(32), random.bytes(32)];
    this.#since = clock.now();
  }

  /** @param binding the address and the ephemeral key that the cookie is valid for */
  make(binding: Uint8Array): Uint8Array {
    this.#turn();
    return seal(this.#secrets[0], binding);
  }

  check(cookie: Uint8Array, binding: Uint8Array): boolean {
    this.#turn();
    return (
      cookie.length === COOKIE_BYTES && this.#secrets.some((secret) => timingSafeEqual(seal(secret, binding), cookie))
    );
  }

  #turn(): void {
    const now = this.#clock.now();
    if (now - this.#since < SECRET_MS) return;
    this.#secrets = [this.#random.bytes(32), this.#secrets[0]];
    this.#since = now;
  }
}

function seal(secret: Uint8Array, binding: Uint8Array): Uint8Array {
  return createHmac("sha256", secret).update(binding).digest().subarray(0, COOKIE_BYTES);
}
