import { closeSync, fstatSync, ftruncateSync, openSync, rmSync, writeSync } from "node:fs";
import { errorText, systemCode, WeaveError } from "#src/errors.js";
import { fileRemedy } from "#src/file-error.js";
import type { Block } from "#src/pcapng/read.js";

/** Mode of a capture: it has the containers' data in clear. */
const MODE = 0o600;

/** A file of whole blocks: also when the disk is full, or the command ends midway. */
export class CaptureFile {
  readonly #path: string;
  readonly #fd: number;
  /** Bytes of whole blocks. */
  #bytes = 0;

  /** Makes a new file. @throws WEAVE_FILE, also for one that exists */
  constructor(path: string) {
    this.#path = path;
    try {
      this.#fd = openSync(path, "wx", MODE);
    } catch (cause) {
      const exists = systemCode(cause) === "EEXIST";
      throw this.#error(
        cause,
        exists ? "it exists already" : errorText(cause),
        exists ? "Choose another name." : undefined,
      );
    }
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Appends blocks. @throws WEAVE_FILE; the file then ends with the last whole block that it has room for */
  write(blocks: readonly Block[]): void {
    const all = Buffer.concat(blocks.map(({ bytes }) => bytes));
    let written = 0;
    try {
      while (written < all.length) written += writeSync(this.#fd, all, written);
      this.#bytes += all.length;
    } catch (cause) {
      let whole = 0;
      for (const { bytes } of blocks) {
        if (whole + bytes.length > written) break;
        whole += bytes.length;
      }
      this.#bytes += whole;
      if (fstatSync(this.#fd).isFile()) ftruncateSync(this.#fd, this.#bytes);
      throw this.#error(cause, errorText(cause));
    }
  }

  /** Closes it. A file without a frame stays only if it has at least the blocks before them. */
  close(): void {
    closeSync(this.#fd);
    if (this.#bytes === 0) rmSync(this.#path, { force: true });
  }

  #error(cause: unknown, why: string, next = fileRemedy(cause, this.#path)): WeaveError {
    return new WeaveError("WEAVE_FILE", `cannot write ${this.#path}: ${why}`, { cause, next });
  }
}
