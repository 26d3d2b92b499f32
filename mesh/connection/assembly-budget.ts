/**
 * Bytes of incomplete messages of all connections together: two of the largest. Beyond it the largest is dropped: small ones are safe
 * from a flood.
 */
export const MAX_INCOMPLETE_BYTES = 20 << 20;
/** Smallest buffer of an incomplete message: doubled five times it has the size of the longest. */
const FIRST_BYTES = 320 << 10;

/** An incomplete message. */
export interface Assembly {
  /** Forgets what has come of the message. The rest of it is discarded as it comes. */
  drop(): void;
}

interface Held {
  buffer: Buffer;
  bytes: number;
}

/**
 * The memory of messages that arrive in parts, bounded over all connections of a process. Each part is copied into one buffer, which the next
 * long message uses again: parts that wait for the last one would be garbage that only a full collection frees.
 */
export class AssemblyBudget {
  readonly #limit: number;
  readonly #held = new Map<Assembly, Held>();
  /** The longest buffer that was used. The collector may take it: long messages are rare. */
  #spare: WeakRef<Buffer> | undefined;
  #bytes = 0;

  constructor(limit = MAX_INCOMPLETE_BYTES) {
    this.#limit = limit;
  }

  /** Bytes of all incomplete messages. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Adds a part to an incomplete message. Drops the largest ones until the limit is kept, perhaps this one. */
  add(assembly: Assembly, part: Uint8Array): void {
    let held = this.#held.get(assembly);
    if (held === undefined) {
      held = { buffer: this.#takeSpare() ?? Buffer.allocUnsafeSlow(FIRST_BYTES), bytes: 0 };
      this.#held.set(assembly, held);
    }
    append(held, part);
    this.#bytes += part.length;
    while (this.#bytes > this.#limit) {
      const largest = this.#largest();
      this.release(largest);
      largest.drop();
    }
  }

  /** Completes a message with its last part. @returns the message, in memory of its own */
  complete(assembly: Assembly, last: Uint8Array): Uint8Array {
    const { buffer, bytes } = this.#held.get(assembly)!;
    const message = Buffer.allocUnsafeSlow(bytes + last.length);
    buffer.copy(message, 0, 0, bytes);
    message.set(last, bytes);
    this.release(assembly);
    return message;
  }

  /** Records that a message has ended, complete or not. */
  release(assembly: Assembly): void {
    const held = this.#held.get(assembly);
    if (held === undefined) return;
    this.#bytes -= held.bytes;
    this.#held.delete(assembly);
    if (held.buffer.length > (this.#spare?.deref()?.length ?? 0)) this.#spare = new WeakRef(held.buffer);
  }

  #takeSpare(): Buffer | undefined {
    const spare = this.#spare?.deref();
    this.#spare = undefined;
    return spare;
  }

  #largest(): Assembly {
    let [[largest, { bytes: most }]] = this.#held;
    for (const [assembly, { bytes }] of this.#held) if (bytes > most) [largest, most] = [assembly, bytes];
    return largest;
  }
}

/** Adds a part, in a buffer of twice the size where there is no room. */
function append(held: Held, part: Uint8Array): void {
  const bytes = held.bytes + part.length;
  if (bytes > held.buffer.length) {
    const larger = Buffer.allocUnsafeSlow(2 * held.buffer.length);
    held.buffer.copy(larger, 0, 0, held.bytes);
    held.buffer = larger;
  }
  held.buffer.set(part, held.bytes);
  held.bytes = bytes;
}
