/** Runs tasks one after another, in the order of the calls. One that fails does not stop those after it. */
export class SerialQueue {
  /** The end of the last task. Never rejects. */
  #last: Promise<unknown> = Promise.resolve();

  /** @returns the task's result */
  run<T>(task: () => Promise<T>): Promise<T> {
    const done = this.#last.then(task);
    this.#last = done.catch(() => {});
    return done;
  }
}
