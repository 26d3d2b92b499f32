/** So many full datagrams in a row that came alone: the kernel joins none on this way. */
const ALONE = 64;
const FULL_BYTES = 1_000;
/** After this time another attempt shows whether it joins them now. */
const RETRY_MS = 5_000;

/**
 * Chooses between the two ways to receive. Where the kernel joins datagrams (UDP_GRO) one call brings up to 64 KB of them;
 * where it does not (an old kernel, or a network card without GRO) one call brings many, each by itself (recvmmsg). What
 * arrives shows which way is better.
 */
export class ReceiveMode {
  readonly #canJoin: boolean;
  #joining: boolean;
  #alone = 0;
  #retryAt = 0;

  /** @param canJoin the socket has UDP_GRO, and it is on */
  constructor(canJoin: boolean) {
    this.#canJoin = this.#joining = canJoin;
  }

  /** The kernel joins datagrams; else they are received each by itself. */
  get joining(): boolean {
    return this.#joining;
  }

  /** A receive brought `bytes`, in datagrams of `stride`. True: the mode has changed. */
  joined(bytes: number, stride: number, now: number): boolean {
    if (stride < bytes) this.#alone = 0;
    else if (bytes > FULL_BYTES && ++this.#alone >= ALONE) return this.#change(false, now);
    return false;
  }

  /** A receive brought datagrams each by itself. True: the mode has changed. */
  single(now: number): boolean {
    return this.#canJoin && now >= this.#retryAt && this.#change(true, now);
  }

  #change(joining: boolean, now: number): true {
    this.#joining = joining;
    this.#alone = 0;
    this.#retryAt = now + RETRY_MS;
    return true;
  }
}
