/** Runs tasks of one key one after another, in the order of their requests, and those of different keys at the same time. */
export class KeyedQueue {
  /** The last task of each key that has tasks. */
  readonly #last = new Map<string, Promise<void>>();

  /**
   * @param cancelled makes the error for a task whose signal is aborted before its turn comes
   * @returns the task's result
   */
  run<T>(key: string, task: () => Promise<T>, signal?: AbortSignal, cancelled = defaultReason): Promise<T> {
    const before = this.#last.get(key) ?? Promise.resolve();
    const result = before.then(() => {
      if (signal?.aborted) throw cancelled(signal);
      return task();
    });
    const done = result.then(
      () => {},
      () => {},
    );
    this.#last.set(key, done);
    void done.then(() => {
      if (this.#last.get(key) === done) this.#last.delete(key);
    });
    return result;
  }

  /** Keys with tasks that run or wait. */
  get size(): number {
    return this.#last.size;
  }
}

const defaultReason = (signal: AbortSignal): unknown => signal.reason;
