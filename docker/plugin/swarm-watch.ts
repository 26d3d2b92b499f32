import type { Engine } from "#docker/engine/engine.js";
import { errorText } from "#src/errors.js";
import type { Log } from "#src/log.js";

/** An engine enters and leaves a swarm without an event that we receive. */
const LOOK_MS = 60_000;

/** Whether the engine is in a swarm: networks of a plugin of our kind are none of the swarm's there (moby#27266). */
export class SwarmWatch {
  readonly #engine: Engine;
  readonly #log: Log;
  #role: "manager" | "worker" | undefined;

  constructor(engine: Engine, log: Log) {
    this.#engine = engine;
    this.#log = log;
  }

  /** What the engine was in a swarm when it was last asked. */
  get role(): "manager" | "worker" | undefined {
    return this.#role;
  }

  /** Asks now and then, until `signal` is aborted. */
  watch(signal: AbortSignal): void {
    const timer = setInterval(() => void this.look(), LOOK_MS).unref();
    signal.addEventListener("abort", () => clearInterval(timer), { once: true });
  }

  async look(): Promise<void> {
    try {
      this.#role = await this.#engine.swarm();
    } catch (error) {
      this.#log.debug("it is not known whether the engine is in a swarm", { why: errorText(error) });
    }
  }

  /** A network of ours was made: Docker says nothing of what kind it is. */
  async networkMade(name: string): Promise<void> {
    await this.look();
    if (this.#role === undefined) return;
    this.#log.warn("Docker is in swarm mode, and this network is local to this host: no service can use it", {
      network: name,
      role: this.#role,
      next: "Create it on each host, and use it with 'docker run'.",
    });
  }
}
