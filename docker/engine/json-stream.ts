import { WeaveError } from "#src/errors.js";

const [OPEN, CLOSE, QUOTE, BACKSLASH] = [0x7b, 0x7d, 0x22, 0x5c];
/** Limit for an object, in bytes: far above any event. */
const MAX_OBJECT = 1 << 20;

/**
 * Splits a stream of JSON objects in any framing: without separators (old engines), one object a line (jsonl, ndjson), or with
 * record separators (RFC 7464). Bytes between objects are ignored.
 */
export class JsonStream {
  #parts: Buffer[] = [];
  #bytes = 0;
  #depth = 0;
  #inText = false;
  #escaped = false;

  /** Adds bytes of the stream. @returns the texts of the objects that they complete @throws WEAVE_DOCKER when an object is too long */
  push(chunk: Buffer): string[] {
    const found: string[] = [];
    let start = this.#depth > 0 ? 0 : -1;
    for (let at = 0; at < chunk.length; at++) {
      const byte = chunk[at];
      if (this.#inText) {
        if (this.#escaped) this.#escaped = false;
        else if (byte === BACKSLASH) this.#escaped = true;
        else if (byte === QUOTE) this.#inText = false;
      } else if (byte === OPEN) {
        if (this.#depth++ === 0) start = at;
      } else if (this.#depth === 0) {
      } else if (byte === QUOTE) this.#inText = true;
      else if (byte === CLOSE && --this.#depth === 0) {
        this.#keep(chunk.subarray(start, at + 1));
        found.push(Buffer.concat(this.#parts).toString("utf8"));
        this.#parts = [];
        this.#bytes = 0;
        start = -1;
      }
    }
    if (start !== -1) this.#keep(chunk.subarray(start));
    return found;
  }

  #keep(part: Buffer): void {
    this.#bytes += part.length;
    if (this.#bytes > MAX_OBJECT)
      throw new WeaveError("WEAVE_DOCKER", `the engine sent a JSON object of more than ${MAX_OBJECT} bytes`);
    this.#parts.push(part);
  }
}
