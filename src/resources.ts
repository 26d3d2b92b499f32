import { errorText } from "#src/errors.js";
import type { Log } from "#src/log.js";
import { settledWithin } from "#src/time-limit.js";

/** Default limit for the release of one resource: the process ends soon after, and the kernel releases what is left. */
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

  /** @param limitMs for the release of each resource; after it the next resource is released */
  constructor(log: Log, limitMs = LIMIT_MS) {
    this.#log = log;
    this.#limitMs = limitMs;
  }

  /**
   * Pushes a resource. After {@link release} has begun, the resource is released immediately.
   *
   * @param name for the log
   */
  add(name: string, release: Release): void {
    this.#push(name, release, false);
  }

  /** Pushes a resource that a failed start removes, and that a stop leaves on the host. */
  addUndo(name: string, undo: Release): void {
    this.#push(name, undo, true);
  }

  /** Records that the start has succeeded: resources of {@link addUndo} are not released any more. */
  commit(): void {
    const kept = this.#stack.filter(({ onlyOnFailure }) => !onlyOnFailure);
    this.#stack.splice(0, this.#stack.length, ...kept);
  }

  /**
   * Releases all resources one after another, the last added first. Never rejects: errors are logged. A second call waits for
   * the first.
   *
   * @param withinMs limit for all resources together; none by default
   * @returns false when resources are left after that time
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
