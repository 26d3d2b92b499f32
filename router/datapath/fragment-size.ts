/** Smallest fragment, in bytes, for which a receive buffer is laid out. */
export const SMALLEST_FRAGMENT = 512;
/** Largest fragment, in bytes, for which a receive buffer is laid out: that of jumbo frames. */
export const LARGEST_FRAGMENT = 9_216;

/**
 * Predicts the fragment size of the next receive. In bulk traffic each receive resembles the previous one. A new size must be
 * observed twice in a row: alternating flows of different sizes then do not change the layout at each receive.
 */
export class FragmentSize {
  /** The predicted size. At first: an Ethernet MTU of 1,500 without the headers of IPv4, UDP and the datagram. */
  bytes = 1_460;
  /** The last observed size, if it differs from {@link bytes}; otherwise 0. */
  #other = 0;

  /** Records the size of the full fragments of a receive. */
  observe(bytes: number): void {
    if (bytes < SMALLEST_FRAGMENT || bytes > LARGEST_FRAGMENT) return;
    if (bytes === this.#other) this.bytes = bytes;
    this.#other = bytes === this.bytes ? 0 : bytes;
  }
}
