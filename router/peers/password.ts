import { scrypt } from "node:crypto";

/**
 * The salt is public and fixed: all peers must derive the same key from the password alone. It names the protocol, so that
 * tables made for other protocols are useless here.
 */
const SALT = "weave mesh 1 password";
/** 32 MB and about a tenth of a second for each guess (RFC 7914; OWASP's scrypt setting of 2^15 and r = 8). */
const COST = { N: 2 ** 15, r: 8, p: 1, maxmem: 64 << 20 };

/** Stretches the network's password into the 32-byte pre-shared key of the handshake. */
export function passwordKey(password: string): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    scrypt(password.normalize("NFC"), SALT, 32, COST, (error, key) =>
      error ? reject(error) : resolve(new Uint8Array(key)),
    );
  });
}
