/** Fragments smaller than this do not justify a layout of their own. */
export const SMALLEST_FRAGMENT = 512;
export const LARGEST_FRAGMENT = 9_216;

/**
 * The size of fragments that the next receive is laid out for. In bulk traffic each receive is like the one before; another
 * size counts when it comes twice in a row, so that two flows of different sizes do not change the layout at each receive.
 */
export class FragmentSize {
  /** An Ethernet MTU of 1,500 less the headers of IP, UDP and datagrams. */
  bytes = 1_460;
  /** The last size, if it was another one; else 0. */
  #other = 0;

  /** The full fragments of a receive had this size. */
  observe(bytes: number): void {
    if (bytes < SMALLEST_FRAGMENT || bytes > LARGEST_FRAGMENT) return;
    if (bytes === this.#other) this.bytes = bytes;
    this.#other = bytes === this.bytes ? 0 : bytes;
  }
}
