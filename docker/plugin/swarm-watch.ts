import type { Engine } from "#docker/engine/engine.js";
import type { EngineListener } from "#docker/engine/events.js";
import type { EngineEvent, SwarmRole } from "#docker/engine/shapes.js";
import { type DriverNames, driverNames, type PluginOptions } from "#docker/plugin/driver-names.js";
import { errorText } from "#src/errors.js";
import type { Log } from "#src/log.js";

/** Interval between checks: an engine joins or leaves a swarm without an event that we receive. */
const CHECK_MS = 60_000;

export interface SwarmWatchDeps {
  readonly engine: Engine;
  /** Receives the hosts of the other managers at each check; undefined if they are ignored. */
  readonly onManagers: ((hosts: readonly string[]) => void) | undefined;
  readonly log: Log;
}

/**
 * Checks whether the engine is in a swarm. A swarm's services can use the networks of a managed plugin, and not those of a legacy one
 * (moby#27266).
 */
export class SwarmWatch implements EngineListener {
  readonly #deps: SwarmWatchDeps;
  readonly #names: DriverNames;
  #role: SwarmRole | undefined;

  constructor(deps: SwarmWatchDeps, options: PluginOptions) {
    this.#deps = deps;
    this.#names = driverNames(options);
  }

  /** Role of the engine in a swarm at the last check; undefined when it is in none. */
  get role(): SwarmRole | undefined {
    return this.#role;
  }

  /** Starts regular checks. @returns a function that stops them */
  watch(): () => void {
    const timer = setInterval(() => void this.check(), CHECK_MS).unref();
    return () => clearInterval(timer);
  }

  /** Checks without delaying other listeners. */
  connected(): void {
    void this.check();
  }

  event({ Type, Action, Actor }: EngineEvent): void {
    const { network, mesh } = this.#names;
    const { name = "", type = "" } = Actor.Attributes;
    if (Type === "network" && Action === "create" && type !== "" && [network, mesh].includes(type))
      void this.#warn(name);
  }

  /** Checks now. Never rejects. */
  async check(): Promise<void> {
    const { engine, onManagers, log } = this.#deps;
    try {
      const swarm = await engine.swarm();
      this.#role = swarm?.role;
      onManagers?.(swarm?.managers ?? []);
    } catch (error) {
      log.debug("the engine's role in a swarm could not be read", { why: errorText(error) });
    }
  }

  /** Warns about a created network if the engine is in a swarm. The event does not contain the network's scope. */
  async #warn(name: string): Promise<void> {
    await this.check();
    if (this.#role === undefined) return;
    this.#deps.log.warn("Docker is in swarm mode, and this network is local to this host: no service can use it", {
      network: name,
      role: this.#role,
      next: "Create it on each host, and use it with 'docker run'.",
    });
  }
}
