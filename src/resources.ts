import { errorText } from "#src/errors.js";
import type { Log } from "#src/log.js";
import { settledWithin } from "#src/time-limit.js";

/** One resource that does not end must not keep the others: the process ends soon, and the kernel takes the rest. */
const LIMIT_MS = 1_000;

export type Release = () => void | Promise<void>;

/**
 * A stack of resources. A stop, and a start that fails, release them in reverse order: there is no second list to keep in step.
 */
export class Resources {
  readonly #log: Log;
  readonly #limitMs: number;
  readonly #stack: { readonly name: string; readonly release: Release; readonly onlyOnFailure: boolean }[] = [];
  #releasing: Promise<void> | undefined;

  /** @param limitMs for each resource; one that takes longer is left behind, and the next one's turn comes */
  constructor(log: Log, limitMs = LIMIT_MS) {
    this.#log = log;
    this.#limitMs = limitMs;
  }

  /**
   * Puts a resource on the stack. Once {@link release} has begun, it is released immediately: its start came too late.
   *
   * @param name for the log
   */
  add(name: string, release: Release): void {
    this.#push(name, release, false);
  }

  /** As {@link add}, for a resource that a failed start removes and a stop leaves on the host. */
  addUndo(name: string, undo: Release): void {
    this.#push(name, undo, true);
  }

  /** The start has succeeded: resources of {@link addUndo} are left on the host from now on. */
  commit(): void {
    const kept = this.#stack.filter(({ onlyOnFailure }) => !onlyOnFailure);
    this.#stack.splice(0, this.#stack.length, ...kept);
  }

  /**
   * Releases everything, last made first, one after another. Never fails: errors are logged. A second call waits for the first.
   *
   * @param withinMs for all of them together; none by default
   * @returns false when some are left at the end of that time
   */
  async release(withinMs?: number): Promise<boolean> {
    this.#releasing ??= this.#releaseAll();
    if (withinMs !== undefined) return settledWithin(this.#releasing, withinMs);
    await this.#releasing;
    return true;
  }

  #push(name: string, release: Release, onlyOnFailure: boolean): void {
    if (this.#releasing === undefined) this.#stack.push({ name, release, onlyOnFailure });
    else void this.#releaseOne(name, release);
  }

  async #releaseAll(): Promise<void> {
    for (let top = this.#stack.pop(); top !== undefined; top = this.#stack.pop())
      await this.#releaseOne(top.name, top.release);
  }

  async #releaseOne(resource: string, release: Release): Promise<void> {
    const work = (async () => release())().catch((error) =>
      this.#log.warn("a resource could not be released", { resource, why: errorText(error) }),
    );
    if (!(await settledWithin(work, this.#limitMs)))
      this.#log.warn("a resource was not released in time", { resource, ms: this.#limitMs });
  }
}
