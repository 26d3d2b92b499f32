import type { Memory } from "#src/linux/native/memory.js";

/**
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
export const KEY_BYTES = 32;
/** Bytes of the fixed part of the nonce, which is not sent. */
export const SALT_BYTES = 4;
/** Bytes of additional data, which the caller writes. */
export const AAD_BYTES = 11;

export type Direction = "seal" | "open";

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
