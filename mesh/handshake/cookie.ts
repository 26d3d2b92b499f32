import { createHmac, timingSafeEqual } from "node:crypto";
import type { Clock } from "#src/clock.js";
import type { Random } from "#src/random.js";

/** Size of a cookie. */
export const COOKIE_BYTES = 16;
/** Interval at which the secret changes, the same as in WireGuard. The previous secret is still valid: a cookie lives 2 to 4 minutes. */
const SECRET_MS = 120_000;

/**
 * Makes and checks cookies. A cookie proves that a client receives messages at its source address. No state is kept for a
 * client. Cookies are required before the first Diffie-Hellman computation while many handshakes are in progress.
 */
export class CookieJar {
  readonly #clock: Clock;
  readonly #random: Random;
  /** The current secret and the previous one. */
  #secrets: [Uint8Array, Uint8Array];
  #since: number;

  constructor(clock: Clock, random: Random) {
    this.#clock = clock;
    this.#random = random;
    this.#secrets = [random.bytes(32), random.bytes(32)];
    this.#since = clock.now();
  }

  /** Makes a cookie. @param binding the address and the first message that the cookie is valid for */
  make(binding: Uint8Array): Uint8Array {
    this.#turn();
    return seal(this.#secrets[0], binding);
  }

  /** Whether a cookie is valid for a binding now. */
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
