/**
 * Receives whose bytes stay where they arrived: a run of segments or datagrams may lie in as many buffers until it is
 * delivered.
 */
export const BUFFERS = 4;

/** Something undelivered whose bytes lie where they were received. */
export interface BufferUser {
  /** The turn in which it began; undefined when nothing is undelivered. */
  readonly began: number | undefined;
  /** Delivers it: none of its bytes is read afterwards. */
  close(): void;
}

/**
 * The order in which receive buffers are used again, and the users that still read from them.
 *
 * 1. Datagrams received in turn t lie in buffer t modulo {@link BUFFERS}, untouched until turn t + BUFFERS begins.
 * 2. {@link begin} closes each user that began in or before the turn whose buffer is used again.
 * 3. Bytes outside of these buffers (a reassembled record) may be overwritten at any time: the code that delivers such bytes
 *    calls {@link settle} before they change.
 */
export class BufferRing {
  readonly #users: BufferUser[] = [];
  #turn = 0;

  get turn(): number {
    return this.#turn;
  }

  /** `user` reads from the buffers from now on. */
  register(user: BufferUser): void {
    this.#users.push(user);
  }

  /** The number of the buffer to receive into: nothing undelivered lies in it. The same until {@link end}. */
  begin(): number {
    const reused = this.#turn - BUFFERS;
    for (const user of this.#users) if (user.began !== undefined && user.began <= reused) user.close();
    return this.#turn % BUFFERS;
  }

  /** The buffer of this turn has been written: the next turn uses another. */
  end(): void {
    this.#turn++;
  }

  /** Closes all users: there is nothing to receive now, or the bytes just delivered lie outside of the buffers. */
  settle(): void {
    for (const user of this.#users) user.close();
  }
}
