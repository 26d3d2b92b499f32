import type { Mesh } from "#mesh/mesh.js";
import { MAX_TARGETS, parseTarget } from "#router/peers/targets.js";
import { errorText } from "#src/errors.js";
import type { Log } from "#src/log.js";

/** Targets that are the managers of the engine's swarm: each node of a swarm knows them, so its peers need not be named. */
export class SwarmTargets {
  readonly #mesh: Mesh;
  readonly #port: number;
  readonly #log: Log;
  /** Targets that were added here. Others, which a user named, are not removed. */
  readonly #added = new Set<string>();

  /** @param port of a peer */
  constructor(mesh: Mesh, port: number, log: Log) {
    this.#mesh = mesh;
    this.#port = port;
    this.#log = log;
  }

  /** Adds hosts that are no targets yet, and removes those that were added before and are left out. @param hosts names or addresses */
  update(hosts: readonly string[]): void {
    const gone = [...this.#added].filter((host) => !hosts.includes(host));
    this.#mesh.forget(gone);
    for (const host of gone) this.#added.delete(host);
    for (const host of hosts) this.#add(host);
  }

  #add(host: string): void {
    const { targets } = this.#mesh.status();
    if (targets.length >= MAX_TARGETS || targets.some(({ text }) => text === host)) return;
    try {
      this.#mesh.connect([parseTarget(host, this.#port)], false);
      this.#added.add(host);
      this.#log.info("a manager of the swarm is a target", { host });
    } catch (error) {
      this.#log.warn("a manager of the swarm cannot be a target", { host, why: errorText(error) });
    }
  }
}
