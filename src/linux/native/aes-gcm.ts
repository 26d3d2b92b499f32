import { createCipheriv, createDecipheriv } from "node:crypto";
import { WeaveError } from "#src/errors.js";
import { libcrypto } from "#src/linux/native/libc.js";
import { Memory } from "#src/linux/native/memory.js";
import {
  AAD_BYTES,
  type Direction,
  NONCE_BYTES,
  type RecordCipher,
  type RecordCipherKind,
  sealableLength,
  TAG_BYTES,
} from "#src/linux/native/record-cipher.js";

/**
 * Length of the additional data of OpenSSL's TLS mode: 13 bytes, of which the last two hold the length of the text (RFC 5288
 * section 3, RFC 5246 section 6.2.3.3; EVP_EncryptInit(3), "GCM mode in TLS"). TLS mode seals a record in place with two native
 * calls, and counts the nonce.
 */
const TLS_AAD_BYTES = AAD_BYTES + 2;
/** Bytes of a record beside its text. */
const OVERHEAD = NONCE_BYTES + TAG_BYTES;
const KEY_BYTES = 32;
const SALT_BYTES = 4;
/** Maximum records sealed with one key: half of the 2^32 that NIST SP 800-38D section 8.3 allows. */
const MAX_RECORDS = 2 ** 31;

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

/** Rate that shows AES instructions: a core with them seals some 3 GB/s, a core without 0.1 GB/s. */
const HARDWARE_BYTES_PER_MS = 500_000;
const SAMPLE_BYTES = 16_384;
/** Number of measurements; the fastest counts. */
const SAMPLES = 20;

/** Whether OpenSSL uses AES instructions. Measured, because each kind of processor reports them differently. */
function aesInHardware(): boolean {
  const memory = new Memory(SAMPLE_BYTES);
  const cipher = new OpensslAesGcm("seal", new Uint8Array(KEY_BYTES), new Uint8Array(SALT_BYTES));
  let best = Number.POSITIVE_INFINITY;
  for (let i = 0; i < SAMPLES; i++) {
    const began = performance.now();
    cipher.run(memory, 0, SAMPLE_BYTES);
    best = Math.min(best, performance.now() - began);
  }
  cipher.free();
  memory.free();
  return SAMPLE_BYTES / best > HARDWARE_BYTES_PER_MS;
}

let hardware: boolean | undefined;
const NEEDS = { keyBytes: KEY_BYTES, saltBytes: SALT_BYTES, maxRecords: MAX_RECORDS } as const;

export const opensslAesGcm: RecordCipherKind = {
  ...NEEDS,
  title: "AES-256-GCM by OpenSSL",
  setupNote: "",
  statusNote() {
    hardware ??= aesInHardware();
    return hardware ? "" : ", without AES instructions (slow)";
  },
  create: (direction, key, salt) => new OpensslAesGcm(direction, key, salt),
};

export const nodeAesGcm: RecordCipherKind = {
  ...NEEDS,
  title: "AES-256-GCM by node:crypto",
  setupNote: ": slow, as this Node does not export OpenSSL",
  statusNote: () => " (slow)",
  create: (direction, key, salt) => new NodeAesGcm(direction, key, salt),
};
