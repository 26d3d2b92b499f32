import type { EngineListener } from "#docker/engine/events.js";

/** Resolves when the engine has answered and all listeners before this one have read its state, or when it did not answer. */
export class FirstContact implements EngineListener {
  #resolve: () => void = () => {};
  readonly made = new Promise<void>((resolve) => {
    this.#resolve = resolve;
  });

  connected(): void {
    this.#resolve();
  }

  disconnected(): void {
    this.#resolve();
  }
}
