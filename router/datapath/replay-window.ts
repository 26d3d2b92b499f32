/** Number of counters that the window covers. */
export const WINDOW = 8_192;

const WORD_BITS = 32;
/** One word more than the window needs: the word of the newest counter is cleared while all other words are in use. */
const WORDS = WINDOW / WORD_BITS + 1;

/**
 * Replay window over full 64-bit counters, by the ring-of-words method of RFC 6479: advancing the window clears a few words
 * and shifts none. A record is accepted once, and only if its counter is not older than the window.
 */
export class ReplayWindow {
  readonly #seen = new Uint32Array(WORDS);
  #newest = -1;

  /** The highest counter accepted, or -1. */
  get newest(): number {
    return this.#newest;
  }

  /** Marks `counter` as seen. False: it was seen before or is too old. Call this only after authentication. */
  accept(counter: number): boolean {
    const word = Math.floor(counter / WORD_BITS);
    if (counter > this.#newest) {
      const from = Math.floor(this.#newest / WORD_BITS);
      const steps = Math.min(word - from, WORDS);
      for (let i = 1; i <= steps; i++) this.#seen[(from + i) % WORDS] = 0;
      this.#newest = counter;
    } else if (this.#newest - counter >= WINDOW) return false;
    const bit = 1 << (counter % WORD_BITS);
    const index = word % WORDS;
    if (this.#seen[index] & bit) return false;
    this.#seen[index] |= bit;
    return true;
  }
}
