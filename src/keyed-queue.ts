/** Runs tasks of one key one after another, in the order of their requests, and those of different keys at the same time. */
export class KeyedQueue {
  /** The last task of each key that has tasks. */
  readonly #last = new Map<string, Promise<void>>();

  /**
   * @param signal until the task begins: one that is aborted before its turn never begins, and rejects immediately
   * @param cancelled makes the error of such a task
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

  /** Keys with tasks that run or wait. */
  get size(): number {
    return this.#last.size;
  }
}

/** As `turn`, but rejects when the signal is aborted before the turn comes. */
function abortable<T>(
  before: Promise<void>,
  turn: Promise<T>,
  signal: AbortSignal,
  cancelled: (signal: AbortSignal) => unknown,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(cancelled(signal));
    signal.addEventListener("abort", onAbort);
    void before.then(() => signal.removeEventListener("abort", onAbort));
    turn.then(resolve, reject);
  });
}

const defaultReason = (signal: AbortSignal): unknown => signal.reason;
