/** Number of receive buffers: an undelivered run of segments or datagrams may extend over this many receives. */
export const BUFFERS = 4;

/** An object with undelivered bytes in receive buffers. */
export interface BufferUser {
  /** The turn of the first undelivered byte; undefined when there is none. */
  readonly began: number | undefined;
  /** Delivers the bytes. They are not read afterwards. */
  close(): void;
}

/**
 * Controls the reuse of receive buffers, and closes the users that still read from them.
 *
 * 1. The datagrams of turn t are in buffer t modulo {@link BUFFERS}, unchanged until turn t + BUFFERS begins.
 * 2. {@link begin} closes each user that began in or before the turn whose buffer is reused.
 * 3. Bytes outside of these buffers (a reassembled record) may be overwritten at any time: the code that delivers such bytes
 *    calls {@link settle} before they change.
 */
export class BufferRing {
  readonly #users: BufferUser[] = [];
  #turn = 0;

  get turn(): number {
    return this.#turn;
  }

  /** Registers a user of the buffers. */
  register(user: BufferUser): void {
    this.#users.push(user);
  }

  /** Returns the number of the buffer to receive into. It has no undelivered bytes. The number is the same until {@link end}. */
  begin(): number {
    const reused = this.#turn - BUFFERS;
    for (const user of this.#users) if (user.began !== undefined && user.began <= reused) user.close();
    return this.#turn % BUFFERS;
  }

  /** Ends the turn after its buffer was written: the next turn uses another buffer. */
  end(): void {
    this.#turn++;
  }

  /** Closes all users. Call this when there is no more to receive, or before bytes outside of the buffers change. */
  settle(): void {
    for (const user of this.#users) user.close();
  }
}
