import type { Clock } from "#src/clock.js";

/**
 * Bytes of messages after which the buffers of new ones are collected. The engine itself waits until 64 MB of buffers are garbage; each
 * received byte makes three of them.
 */
const YOUNG_BYTES = 2 << 20;
/** Bytes of a message that is so long that its buffers are collected as soon as it was handled. */
const LONG_BYTES = 1 << 20;
/** Bytes of long messages after which all garbage is collected: some of their buffers are not new any more. */
const ALL_BYTES = 64 << 20;
/**
 * Growth of the heap after which all garbage is collected: the values of long messages are hardly new any more when they are garbage, and
 * the engine itself lets the heap become several times as large.
 */
const GROWTH_BYTES = 16 << 20;
/** Bytes of messages after which unused memory is returned to the kernel, and the time to wait for more of them. */
const RELEASE_BYTES = 8 << 20;
const RELEASE_MS = 5_000;

/** The collaborators of {@link ReceivedGarbage}: src/linux/native/heap.ts. */
export interface GarbageDeps {
  readonly clock: Clock;
  readonly collectYoung: () => void;
  readonly collectAll: () => void;
  /** Returns the bytes of all objects, garbage included. */
  readonly usedHeapBytes: () => number;
  readonly releaseUnusedMemory: () => void;
}

/** Collects the buffers of received messages in time: a neighbour that sends at the line's speed must not fill the memory with garbage. */
export class ReceivedGarbage {
  readonly #deps: GarbageDeps;
  /** Bytes since the last collection: of new objects, of all. */
  #young = 0;
  #long = 0;
  /** Bytes of parts since the last end of a message. */
  #parts = 0;
  #unreleased = 0;
  #releasing = false;
  /** Bytes of all objects after the last collection of all garbage, or fewer since. */
  #kept: number;

  constructor(deps: GarbageDeps) {
    this.#deps = deps;
    this.#kept = deps.usedHeapBytes();
  }

  /** Records a message, or a part of a longer one. It was handled. */
  received(bytes: number, isPart: boolean): void {
    this.#young += bytes;
    this.#unreleased += bytes;
    if (isPart) this.#parts += bytes;
    else if (this.#parts > 0) this.#longEnded();
    if (this.#young >= YOUNG_BYTES) this.#collectYoung();
    if (this.#unreleased >= RELEASE_BYTES && !this.#releasing) this.#releaseLater();
  }

  #longEnded(): void {
    const bytes = this.#parts;
    this.#parts = 0;
    this.#long += bytes;
    if (this.#long >= ALL_BYTES) this.#collectAll();
    else if (bytes >= LONG_BYTES) this.#collectYoung();
  }

  #collectYoung(): void {
    this.#young = 0;
    this.#deps.collectYoung();
    const used = this.#deps.usedHeapBytes();
    this.#kept = Math.min(this.#kept, used);
    if (used - this.#kept >= GROWTH_BYTES) this.#collectAll();
  }

  #collectAll(): void {
    this.#long = this.#young = 0;
    this.#deps.collectAll();
    this.#kept = this.#deps.usedHeapBytes();
  }

  #releaseLater(): void {
    this.#releasing = true;
    this.#deps.clock.after(RELEASE_MS, () => {
      this.#releasing = false;
      this.#unreleased = this.#young = this.#long = 0;
      this.#deps.releaseUnusedMemory();
    });
  }
}
