import type { Memory } from "#src/linux/native/memory.js";

/**
 * A sealed record, in place:
 *
 *   ┌──────────────┬───────────────────────┬─────────┐
 *   │ nonce, 8 B   │ text, n B             │ tag 16 B│   a record of n + 24 bytes
 *   └──────────────┴───────────────────────┴─────────┘
 *
 * The nonce is the sender's counter, big-endian, written and incremented by the cipher. 11 bytes of additional data are
 * authenticated and not sent.
 */
export const NONCE_BYTES = 8;
export const TAG_BYTES = 16;
export const KEY_BYTES = 32;
export const SALT_BYTES = 4;
/** Additional data that the caller fills. */
export const AAD_BYTES = 11;

export type Direction = "seal" | "open";

/** One key in one direction, for records in place. Not to be shared between threads. */
export interface RecordCipher {
  /** The additional data of the next record: the caller writes its {@link AAD_BYTES} here. */
  readonly aad: Uint8Array;
  /** The shortest record of at least `length` bytes that can be sealed and opened. A caller makes a record longer by padding. */
  sealableLength(length: number): number;
  /**
   * Seals or opens `length` bytes (nonce and tag included) at `offset`, in place. False: the record must not be used. To open,
   * its tag was wrong; to seal, it may still be clear. A length that {@link sealableLength} would change is rejected before
   * anything is touched, the counter included.
   */
  run(memory: Memory, offset: number, length: number): boolean;
  free(): void;
}
