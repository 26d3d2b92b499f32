import { scrypt } from "node:crypto";

/**
 * The salt is public and fixed: all peers must derive the same key from the password alone. It contains the protocol's name:
 * precomputed tables for other protocols are useless.
 */
const SALT = "weave mesh 1 password";
/** Cost of each guess: 32 MB and about a tenth of a second (RFC 7914; OWASP recommends N = 2^15 and r = 8). */
const COST = { N: 2 ** 15, r: 8, p: 1, maxmem: 64 << 20 };

/** Derives the 32-byte pre-shared key of the handshake from the network's password. */
export function passwordKey(password: string): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    scrypt(password.normalize("NFC"), SALT, 32, COST, (error, key) =>
      error ? reject(error) : resolve(new Uint8Array(key)),
    );
  });
}
