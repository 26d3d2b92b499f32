/** Runs the tasks of one key one after another, in the order of the calls. Tasks of different keys run at the same time. */
export class KeyedQueue {
  /** The end of the last task of each key with unfinished tasks. Never rejects. */
  readonly #last = new Map<string, Promise<void>>();

  /**
   * Runs `task` after the earlier tasks of its key. When `signal` is aborted before the task begins, the call rejects immediately,
   * and the task never begins.
   *
   * @param cancelled makes the error for an aborted signal; the signal's reason by default
   * @returns the task's result
   */
  run<T>(key: string, task: () => Promise<T>, signal?: AbortSignal, cancelled = defaultReason): Promise<T> {
    const before = this.#last.get(key) ?? Promise.resolve();
    const turn = before.then(() => {
      if (signal?.aborted) throw cancelled(signal);
      return task();
    });
    const done = turn.then(
      () => {},
      () => {},
    );
    this.#last.set(key, done);
    void done.then(() => {
      if (this.#last.get(key) === done) this.#last.delete(key);
    });
    return signal === undefined ? turn : abortable(before, turn, signal, cancelled);
  }

  /** Number of keys with tasks that run or wait. */
  get size(): number {
    return this.#last.size;
  }
}

/** Follows `turn`, and rejects as soon as the signal is aborted before `before` resolves. */
function abortable<T>(
  before: Promise<void>,
  turn: Promise<T>,
  signal: AbortSignal,
  cancelled: (signal: AbortSignal) => unknown,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(cancelled(signal));
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort);
    void before.then(() => signal.removeEventListener("abort", onAbort));
    turn.then(resolve, reject);
  });
}

const defaultReason = (signal: AbortSignal): unknown => signal.reason;
