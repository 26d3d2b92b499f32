/** Number of consecutive single full datagrams after which the kernel is assumed not to join datagrams. */
const MAX_ALONE = 64;
/** A datagram of more bytes counts as full: the sender probably had more to send. */
const FULL_BYTES = 1_000;
/** Time after a change of mode before joining is tried again. */
const RETRY_MS = 5_000;

/**
 * Chooses between two ways to receive. Where the kernel joins datagrams (UDP_GRO), one call returns up to 64 KB of them.
 * Where it does not (an old kernel, or a network card without GRO), recvmmsg returns many separate datagrams. The received
 * datagrams show which way is better.
 */
export class ReceiveMode {
  readonly #canJoin: boolean;
  #joining: boolean;
  #alone = 0;
  #retryAt = 0;

  /** @param canJoin true: the socket has UDP_GRO, and it is on */
  constructor(canJoin: boolean) {
    this.#canJoin = this.#joining = canJoin;
  }

  /** True: receive joined datagrams; false: receive separate datagrams. */
  get joining(): boolean {
    return this.#joining;
  }

  /** Records a receive in joining mode: `bytes` in datagrams of `stride`. True: the mode has changed. */
  joined(bytes: number, stride: number, now: number): boolean {
    if (stride < bytes) this.#alone = 0;
    else if (bytes > FULL_BYTES && ++this.#alone >= MAX_ALONE) return this.#change(false, now);
    return false;
  }

  /** Records a receive of separate datagrams. True: the mode has changed. */
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
