import type { Engine } from "#docker/engine/engine.js";
import type { EngineListener } from "#docker/engine/events.js";
import type { EngineEvent } from "#docker/engine/shapes.js";
import { type DriverNames, driverNames } from "#docker/plugin/driver-names.js";
import { errorText } from "#src/errors.js";
import type { Log } from "#src/log.js";

/** An engine joins and leaves a swarm without an event that we receive. */
const CHECK_MS = 60_000;

/** Watches whether the engine is in a swarm: networks of a plugin of our kind are not available to a swarm's services (moby#27266). */
export class SwarmWatch implements EngineListener {
  readonly #engine: Engine;
  readonly #log: Log;
  readonly #names: DriverNames;
  #role: "manager" | "worker" | undefined;

  constructor(
    { engine, log }: { readonly engine: Engine; readonly log: Log },
    sockets: { readonly pluginSocket: string; readonly meshSocket: string },
  ) {
    this.#engine = engine;
    this.#log = log;
    this.#names = driverNames(sockets);
  }

  /** Role of the engine in a swarm at the last check; undefined when it is in none. */
  get role(): "manager" | "worker" | undefined {
    return this.#role;
  }

  /** Checks regularly. @returns what ends this */
  watch(): () => void {
    const timer = setInterval(() => void this.#check(), CHECK_MS).unref();
    return () => clearInterval(timer);
  }

  /** Not waited for: nothing depends on the answer. */
  connected(): void {
    void this.#check();
  }

  event({ Type, Action, Actor }: EngineEvent): void {
    const { network, mesh } = this.#names;
    const { name = "", type = "" } = Actor.Attributes;
    if (Type === "network" && Action === "create" && [network, mesh].includes(type)) void this.#warn(name);
  }

  async #check(): Promise<void> {
    try {
      this.#role = await this.#engine.swarm();
    } catch (error) {
      this.#log.debug("it is unknown whether the engine is in a swarm", { why: errorText(error) });
    }
  }

  /** A network of ours was created, and Docker does not say of what kind it is. */
  async #warn(name: string): Promise<void> {
    await this.#check();
    if (this.#role === undefined) return;
    this.#log.warn("Docker is in swarm mode, and this network is local to this host: no service can use it", {
      network: name,
      role: this.#role,
      next: "Create it on each host, and use it with 'docker run'.",
    });
  }
}
