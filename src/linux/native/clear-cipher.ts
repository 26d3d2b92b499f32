import type { Memory } from "#src/linux/native/memory.js";
import {
  AAD_BYTES,
  type Direction,
  type RecordCipher,
  type RecordCipherKind,
  sealableLength,
  TAG_BYTES,
} from "#src/linux/native/record-cipher.js";

/** The cipher of unencrypted sessions: the same layout with a counter, and a tag of zeros. */
class ClearCipher implements RecordCipher {
  readonly aad = new Uint8Array(AAD_BYTES);
  /** Not a limit of its own: of the wire format. */
  readonly sealableLength = sealableLength;
  readonly #sealing: boolean;
  #counter = 0;

  constructor(direction: Direction) {
    this.#sealing = direction === "seal";
  }

  run(memory: Memory, offset: number, length: number): boolean {
    if (sealableLength(length) !== length) return false;
    memory.at(offset, length);
    if (!this.#sealing) return true;
    const counter = this.#counter++;
    memory.view.setUint32(offset, Math.floor(counter / 0x1_0000_0000), false);
    memory.view.setUint32(offset + 4, counter >>> 0, false);
    memory.u8.fill(0, offset + length - TAG_BYTES, offset + length);
    return true;
  }

  free(): void {}
}

export const clearCipher: RecordCipherKind = {
  title: "none",
  setupNote: "",
  statusNote: () => "",
  keyBytes: 0,
  saltBytes: 0,
  maxRecords: Number.POSITIVE_INFINITY,
  create: (direction) => new ClearCipher(direction),
};
