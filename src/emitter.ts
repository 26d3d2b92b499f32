/**
 * Typed events. The part that emits does not know the parts that listen, so that parts which need each other are made one
 * after another: the emitter first.
 *
 * @typeParam Events the arguments of each event, by its name: `{ started: []; forgotten: [peer: PeerName] }`
 */
export class Emitter<Events extends Record<keyof Events, readonly unknown[]>> {
  readonly #listeners = new Map<keyof Events, readonly ((...args: never) => void)[]>();

  /**
   * Calls `listener` at each event from now on, after the listeners added before.
   *
   * @returns a function that ends this
   */
  on<Name extends keyof Events>(event: Name, listener: (...args: Events[Name]) => void): () => void {
    // Not the same function twice: each subscription ends by itself.
    const own = (...args: Events[Name]) => listener(...args);
    this.#listeners.set(event, [...(this.#listeners.get(event) ?? []), own]);
    return () => {
      const others = (this.#listeners.get(event) ?? []).filter((each) => each !== own);
      this.#listeners.set(event, others);
    };
  }

  /**
   * Calls the listeners of an event, in order. An error of a listener is thrown to the caller; the rest are not called then.
   *
   * @returns false when there was no listener
   */
  emit<Name extends keyof Events>(event: Name, ...args: Events[Name]): boolean {
    const listeners = (this.#listeners.get(event) ?? []) as readonly ((...args: Events[Name]) => void)[];
    for (const listener of listeners) listener(...args);
    return listeners.length > 0;
  }
}
