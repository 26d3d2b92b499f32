/** Maximum number of characters of a problem, which `weave status` shows on one line. */
const MAX_TEXT = 512;

/**
 * Problems of this host that the router cannot repair by itself, for `weave status`: one line for each key. The component that
 * reports a problem clears it when it is over.
 */
export class Problems {
  readonly #texts = new Map<string, string>();

  /**
   * Reports a problem. A second text for a key replaces the first.
   *
   * @param key the component and its object: `log`, `bridge weave`
   * @param text the problem, its cause, and the command that helps
   */
  set(key: string, text: string): void {
    this.#texts.set(key, text.replace(/\s+/g, " ").slice(0, MAX_TEXT));
  }

  clear(key: string): void {
    this.#texts.delete(key);
  }

  /** Returns the texts, in the order in which their keys were first reported. */
  list(): string[] {
    return [...this.#texts.values()];
  }
}
