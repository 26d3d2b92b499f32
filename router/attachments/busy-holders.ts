/** Holders whose attachment is in progress. Their addresses come before their interface: that it is missing does not show their end. */
export class BusyHolders {
  readonly #counts = new Map<string, number>();

  has(ident: string): boolean {
    return this.#counts.has(ident);
  }

  /** Runs a task of a holder. @returns the task's result */
  async run<T>(ident: string, task: () => Promise<T>): Promise<T> {
    this.#counts.set(ident, (this.#counts.get(ident) ?? 0) + 1);
    try {
      return await task();
    } finally {
      const left = this.#counts.get(ident)! - 1;
      if (left > 0) this.#counts.set(ident, left);
      else this.#counts.delete(ident);
    }
  }
}
