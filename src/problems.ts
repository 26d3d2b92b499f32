import { Emitter } from "#src/emitter.js";

/** Maximum number of characters of a problem, which `weave status` shows on one line. */
const MAX_TEXT = 512;

/**
 * Problems of this host that the router cannot repair by itself, for `weave status`: one line for each key. The component that
 * reports a problem clears it when it is over.
 */
export class Problems {
  /** Emits each problem that is new or has another text, and each that is over. */
  readonly changes = new Emitter<{ set: [key: string, text: string]; clear: [key: string] }>();
  readonly #texts = new Map<string, string>();

  /**
   * Reports a problem. A second text for a key replaces the first.
   *
   * @param key the component and its object: `log`, `bridge weave`
   * @param text the problem, its cause, and the command that helps
   */
  set(key: string, text: string): void {
    const line = text.replace(/\s+/g, " ").slice(0, MAX_TEXT);
    if (this.#texts.get(key) === line) return;
    this.#texts.set(key, line);
    this.changes.emit("set", key, line);
  }

  clear(key: string): void {
    if (this.#texts.delete(key)) this.changes.emit("clear", key);
  }

  /** Returns the problems by their keys. */
  entries(): [key: string, text: string][] {
    return [...this.#texts];
  }

  /** Returns the texts, in the order in which their keys were first reported. */
  list(): string[] {
    return [...this.#texts.values()];
  }
}
