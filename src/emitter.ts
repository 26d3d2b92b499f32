/**
 * Typed events. The sender of an event has no reference to its listeners: objects that need each other are constructed one
 * after another, the emitter first.
 *
 * @typeParam Events the arguments of each event, by event name: `{ started: []; forgotten: [peer: PeerName] }`
 */
export class Emitter<Events extends Record<keyof Events, readonly unknown[]>> {
  readonly #listeners = new Map<keyof Events, readonly ((...args: never) => void)[]>();

  /**
   * Subscribes `listener` to an event. Listeners are called in the order in which they subscribed.
   *
   * @returns a function that ends the subscription
   */
  on<Name extends keyof Events>(event: Name, listener: (...args: Events[Name]) => void): () => void {
    // A wrapper for each subscription: the same function may subscribe twice, and each subscription ends alone.
    const own = (...args: Events[Name]) => listener(...args);
    this.#listeners.set(event, [...(this.#listeners.get(event) ?? []), own]);
    return () => {
      const others = (this.#listeners.get(event) ?? []).filter((each) => each !== own);
      this.#listeners.set(event, others);
    };
  }

  /**
   * Calls the listeners of an event, in order. An error of a listener is thrown to the caller, and the remaining listeners are
   * not called.
   *
   * @returns false when there was no listener
   */
  emit<Name extends keyof Events>(event: Name, ...args: Events[Name]): boolean {
    const listeners = (this.#listeners.get(event) ?? []) as readonly ((...args: Events[Name]) => void)[];
    for (const listener of listeners) listener(...args);
    return listeners.length > 0;
  }
}
