import type { Memory } from "#src/linux/native/memory.js";

/**
 * Ciphers of records. A second cipher needs:
 *
 * - a file beside aes-gcm.ts with its {@link RecordCipherKind}: it keeps this layout (8 bytes of counter, a tag of 16, 11 bytes of
 *   additional data) and chooses the length of its key and salt, which are derived for it (router/datapath/session-keys.ts);
 * - a row in the choice, `recordCipher` of record-cipher-choice.ts;
 * - agreement: both ends send in the hello (mesh/connection/channel.ts) which ciphers they have, and the name of the chosen one reaches the
 *   frame threads with the command that opens a session. Without a second cipher there is nothing to agree on, and the hello has
 *   no such field.
 *
 * The layout of a sealed record, in place:
 *
 *   ┌──────────────┬───────────────────────┬─────────┐
 *   │ nonce, 8 B   │ text, n B             │ tag 16 B│   a record of n + 24 bytes
 *   └──────────────┴───────────────────────┴─────────┘
 *
 * The nonce is the sender's counter, big-endian; the cipher writes and increments it. 11 bytes of additional data are
 * authenticated, but not sent.
 */
export const NONCE_BYTES = 8;
export const TAG_BYTES = 16;
/** Bytes of additional data, which the caller writes. */
export const AAD_BYTES = 11;

export type Direction = "seal" | "open";

/** OpenSSL's TLS mode keeps the length of a record in 16 bits. */
const LENGTH_WRAPS = 65_536;
/** Bytes of a record beside its text. */
const OVERHEAD = NONCE_BYTES + TAG_BYTES;

/**
 * {@link RecordCipher.sealableLength} of AES-256-GCM, by any implementation. OpenSSL's TLS mode subtracts its overhead from the
 * length modulo 2^16, and rejects a result below zero (gcm_tls_init in OpenSSL's ciphercommon_gcm.c): the sealer rejects 65,552 to
 * 65,559 bytes, the opener 65,536 to 65,559. A record that one peer seals by other means is opened by OpenSSL at another peer.
 *
 * So the wire format has no records of these lengths (docs/protocol.md), and clear records follow it: peers reject others.
 */
export function sealableLength(length: number): number {
  const counted = length % LENGTH_WRAPS;
  return counted < OVERHEAD ? length - counted + OVERHEAD : length;
}

/** A cipher as one implementation computes it. */
export interface RecordCipherKind {
  /** As users read it: the cipher and its implementation. */
  readonly title: string;
  /** The reason why it is slow on this host, which `weave setup` and status add to the title; "" when it is not. */
  readonly setupNote: string;
  readonly statusNote: () => string;
  /** Length of a key; 0: it needs none. */
  readonly keyBytes: number;
  /** Length of the fixed part of the nonce, which is not sent. */
  readonly saltBytes: number;
  /** Records that one key may seal. */
  readonly maxRecords: number;
  /**
   * @param key {@link keyBytes}; never used for the other direction, another thread or another channel
   * @param salt {@link saltBytes}
   * @throws WEAVE_CRYPTO when the lengths are others, or this process cannot compute the cipher
   */
  create(direction: Direction, key: Uint8Array, salt: Uint8Array): RecordCipher;
}

/** A key for one direction, which seals or opens records in place. Not to be shared between threads. */
export interface RecordCipher {
  /** The additional data of the next record: the caller writes its {@link AAD_BYTES} here. */
  readonly aad: Uint8Array;
  /** Returns the length, at least `length`, of the shortest record that can be sealed and opened. The caller pads the text. */
  sealableLength(length: number): number;
  /**
   * Seals or opens a record of `length` bytes at `offset`, nonce and tag included. A length that {@link sealableLength} would
   * change is rejected before any byte or the counter is changed.
   *
   * @returns false when the record must not be used: it could not be sealed and may contain clear text, or its tag is wrong
   */
  run(memory: Memory, offset: number, length: number): boolean;
  /** Releases the native resources, and erases the key as far as possible. */
  free(): void;
}
