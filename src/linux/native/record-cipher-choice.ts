import { nodeAesGcm, opensslAesGcm, opensslAvailable } from "#src/linux/native/aes-gcm.js";
import { clearCipher } from "#src/linux/native/clear-cipher.js";
import type { RecordCipherKind } from "#src/linux/native/record-cipher.js";

/**
 * The cipher of a session's records.
 *
 * @param use.encrypted false: both ends agreed on frames in clear
 * @param use.openssl whether OpenSSL may be called directly; left out: if this process exports it
 */
export function recordCipher(use: { readonly encrypted: boolean; readonly openssl?: boolean }): RecordCipherKind {
  if (!use.encrypted) return clearCipher;
  return (use.openssl ?? opensslAvailable) ? opensslAesGcm : nodeAesGcm;
}
