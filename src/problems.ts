/** Characters of one problem at most: a line of `weave status`. */
const MAX_TEXT = 512;

/**
 * Problems of this host that the router cannot repair alone, for `weave status`: one line for each key. The part that reports a
 * problem clears it when it is over.
 */
export class Problems {
  readonly #texts = new Map<string, string>();

  /**
   * @param key the part and the object, as in `log` or `bridge weave`; a second text for a key replaces the first
   * @param text the problem, its cause, and the command that helps
   */
  set(key: string, text: string): void {
    this.#texts.set(key, text.replace(/\s+/g, " ").slice(0, MAX_TEXT));
  }

  clear(key: string): void {
    this.#texts.delete(key);
  }

  /** In the order of their first report. */
  list(): string[] {
    return [...this.#texts.values()];
  }
}
