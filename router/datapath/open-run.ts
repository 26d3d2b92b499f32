import type { BufferRing, BufferUser } from "#router/datapath/buffer-ring.js";
import { IoVector } from "#src/linux/native/io-vector.js";

/** Writes a frame, or a super-frame of `frames` frames, whose virtio header is first in `parts`. */
export type WriteRun = (parts: IoVector, gsoType: number, frames: number) => void;

/**
 * Adjacent segments or datagrams, joined into one write to the TAP. They are written from the buffers that they were received
 * into, without a copy: the run is closed before the ring reuses these buffers.
 */
export abstract class OpenRun implements BufferUser {
  protected readonly parts: IoVector;
  readonly #ring: BufferRing;
  #began: number | undefined;

  /** @param spans maximum spans of one write */
  constructor(ring: BufferRing, spans: number) {
    this.#ring = ring;
    this.parts = new IoVector(spans);
    ring.register(this);
  }

  get began(): number | undefined {
    return this.#began;
  }

  /** Call this when the first span is pushed. */
  protected open(): void {
    this.#began = this.#ring.turn;
  }

  /** Delivers the open run, if there is one. */
  close(): void {
    if (this.#began === undefined) return;
    this.#began = undefined;
    try {
      this.deliver();
    } finally {
      this.parts.clear();
    }
  }

  /** Completes the headers of the run, and writes the run. */
  protected abstract deliver(): void;
}
