import { createCipheriv, createDecipheriv } from "node:crypto";
import { WeaveError } from "#src/errors.js";
import { libcrypto } from "#src/linux/native/libc.js";
import { Memory } from "#src/linux/native/memory.js";
import {
  AAD_BYTES,
  type Direction,
  KEY_BYTES,
  NONCE_BYTES,
  type RecordCipher,
  SALT_BYTES,
  TAG_BYTES,
} from "#src/linux/native/record-cipher.js";

/**
 * Length of the additional data of OpenSSL's TLS mode: 13 bytes, of which the last two hold the length of the text (RFC 5288
 * section 3, RFC 5246 section 6.2.3.3; EVP_EncryptInit(3), "GCM mode in TLS"). TLS mode seals a record in place with two native
 * calls, and counts the nonce.
 */
const TLS_AAD_BYTES = AAD_BYTES + 2;
/** TLS mode computes with the length of a record modulo this number: it has 16 bits. */
const LENGTH_WRAPS = 65_536;
/** Bytes of a record beside its text. */
const OVERHEAD = NONCE_BYTES + TAG_BYTES;

/**
 * Implements {@link RecordCipher.sealableLength} for both ciphers. TLS mode subtracts its overhead from the length modulo 2^16,
 * and rejects a result below zero (gcm_tls_init in OpenSSL's ciphercommon_gcm.c): the sealer rejects 65,552 to 65,559 bytes, the
 * opener 65,536 to 65,559. The other cipher avoids the same lengths, because another peer may open its records in TLS mode.
 */
export function sealableLength(length: number): number {
  const counted = length % LENGTH_WRAPS;
  return counted < OVERHEAD ? length - counted + OVERHEAD : length;
}

/** Whether this process exports OpenSSL's functions; else {@link NodeAesGcm} must be used, which is slower. */
export const opensslAvailable = libcrypto !== undefined;

const EVP_CTRL_GCM_SET_IV_FIXED = 0x12;
const EVP_CTRL_AEAD_TLS1_AAD = 0x16;

// Offsets in the scratch memory of a context.
const KEY_AT = 0;
const IV_AT = 64;
const AAD_AT = 128;

function checkKey(key: Uint8Array, salt: Uint8Array): void {
  if (key.length !== KEY_BYTES || salt.length !== SALT_BYTES)
    throw new WeaveError("WEAVE_CRYPTO", `a data key is ${KEY_BYTES} bytes with ${SALT_BYTES} bytes of salt`);
}

/** AES-256-GCM by native calls of OpenSSL, in the Node executable or the library that it is linked with. */
export class OpensslAesGcm implements RecordCipher {
  readonly aad: Uint8Array;
  readonly sealableLength = sealableLength;
  readonly #scratch = new Memory(256);
  readonly #sealing: boolean;
  #context: number;

  /**
   * @param key 32 bytes; never used for the other direction, another thread or another channel
   * @param salt 4 bytes, the fixed part of the nonce
   * @throws WEAVE_CRYPTO when this process has no OpenSSL to call
   */
  constructor(direction: Direction, key: Uint8Array, salt: Uint8Array) {
    if (libcrypto === undefined)
      throw new WeaveError("WEAVE_CRYPTO", "this build of Node does not export OpenSSL's cipher functions");
    checkKey(key, salt);
    this.#sealing = direction === "seal";
    const scratch = this.#scratch;
    this.aad = scratch.u8.subarray(AAD_AT, AAD_AT + AAD_BYTES);
    scratch.u8.set(key, KEY_AT);
    scratch.u8.set(salt, IV_AT);
    this.#context = Number(libcrypto.newContext());
    const ready =
      this.#context !== 0 &&
      libcrypto.init(
        this.#context,
        libcrypto.aes256gcm(),
        0,
        scratch.at(KEY_AT, KEY_BYTES),
        0,
        this.#sealing ? 1 : 0,
      ) === 1 &&
      libcrypto.control(this.#context, EVP_CTRL_GCM_SET_IV_FIXED, -1, scratch.at(IV_AT, SALT_BYTES + NONCE_BYTES)) > 0;
    scratch.u8.fill(0, 0, AAD_AT);
    if (!ready) throw new WeaveError("WEAVE_CRYPTO", "OpenSSL rejects AES-256-GCM");
  }

  run(memory: Memory, offset: number, length: number): boolean {
    if (sealableLength(length) !== length) return false;
    const record = memory.at(offset, length);
    const scratch = this.#scratch;
    // The sealer must not count the tag, the opener must: TLS mode subtracts it when it opens. Both authenticate the same length.
    const counted = this.#sealing ? length - TAG_BYTES : length;
    scratch.u8[AAD_AT + AAD_BYTES] = counted >>> 8;
    scratch.u8[AAD_AT + AAD_BYTES + 1] = counted;
    if (
      libcrypto!.control(this.#context, EVP_CTRL_AEAD_TLS1_AAD, TLS_AAD_BYTES, scratch.at(AAD_AT, TLS_AAD_BYTES)) <= 0
    )
      return false;
    const written = libcrypto!.cipher(this.#context, record, record, length);
    // Some versions of OpenSSL return the length of the text when they open.
    return this.#sealing ? written === length : written >= 0;
  }

  free(): void {
    if (this.#context === 0) return;
    libcrypto!.freeContext(this.#context);
    this.#context = 0;
    this.#scratch.free();
  }
}

/** AES-256-GCM by node:crypto, for a Node that does not export OpenSSL's functions. It copies, and allocates memory for each record. */
export class NodeAesGcm implements RecordCipher {
  readonly aad: Uint8Array;
  readonly sealableLength = sealableLength;
  readonly #sealing: boolean;
  readonly #key: Uint8Array;
  readonly #nonce = Buffer.alloc(SALT_BYTES + NONCE_BYTES);
  readonly #tlsAad = Buffer.alloc(TLS_AAD_BYTES);
  #counter = 0n;

  /** The parameters are those of {@link OpensslAesGcm}. @throws WEAVE_CRYPTO when key or salt have another length */
  constructor(direction: Direction, key: Uint8Array, salt: Uint8Array) {
    checkKey(key, salt);
    this.#sealing = direction === "seal";
    this.#key = Uint8Array.from(key);
    this.#nonce.set(salt);
    this.aad = this.#tlsAad.subarray(0, AAD_BYTES);
  }

  run(memory: Memory, offset: number, length: number): boolean {
    if (sealableLength(length) !== length) return false;
    const text = length - OVERHEAD;
    memory.at(offset, length);
    if (this.#sealing) memory.view.setBigUint64(offset, this.#counter++, false);
    const nonceAt = offset + NONCE_BYTES;
    const tagAt = nonceAt + text;
    this.#nonce.set(memory.u8.subarray(offset, nonceAt), SALT_BYTES);
    this.#tlsAad.writeUInt16BE(text & 0xffff, AAD_BYTES);
    const body = memory.u8.subarray(nonceAt, tagAt);
    const tag = memory.u8.subarray(tagAt, tagAt + TAG_BYTES);
    try {
      if (this.#sealing) {
        const cipher = createCipheriv("aes-256-gcm", this.#key, this.#nonce).setAAD(this.#tlsAad);
        body.set(cipher.update(body));
        cipher.final();
        tag.set(cipher.getAuthTag());
      } else {
        const decipher = createDecipheriv("aes-256-gcm", this.#key, this.#nonce, { authTagLength: TAG_BYTES });
        const opened = decipher.setAAD(this.#tlsAad).setAuthTag(tag).update(body);
        decipher.final();
        body.set(opened);
      }
      return true;
    } catch {
      return false;
    }
  }

  free(): void {
    this.#key.fill(0);
  }
}
