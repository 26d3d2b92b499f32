import { Heartbeats } from "#router/carriers/fastdp/heartbeats.js";
import { Emitter } from "#src/emitter.js";
import type { MacText } from "#src/mac.js";

/** What all tunnels of a host have in common. */
export interface TunnelHost {
  /** The paths of all. */
  readonly heartbeatPaths: Set<string>;
  /** See `KernelTunnel.cookie`. */
  readonly cookie: number;
}

/** What all tunnels have in common: why there is none now, who wants to know, and the heartbeats. */
export class TunnelBase {
  readonly heartbeats: Heartbeats;
  /** See `KernelTunnel.cookie`. */
  readonly cookie: number;
  readonly #events = new Emitter<{ changed: [] }>();
  #problem: string | undefined;

  /**
   * @param problem why there is no tunnel yet; undefined: there is one
   * @param host what all tunnels of this host have in common
   */
  constructor(self: MacText, problem: string | undefined, { heartbeatPaths, cookie }: TunnelHost) {
    this.heartbeats = new Heartbeats(self, heartbeatPaths);
    this.cookie = cookie;
    this.#problem = problem;
  }

  get problem(): string | undefined {
    return this.#problem;
  }

  /** See `KernelTunnel.onChange`. */
  onChange(changed: () => void): () => void {
    return this.#events.on("changed", changed);
  }

  /** Sets why there is no tunnel now; undefined: there is one. */
  protected setProblem(problem: string | undefined): void {
    if (problem === this.#problem) return;
    this.#problem = problem;
    this.#events.emit("changed");
  }

  /** Has the peers connected again. */
  protected reconnect(): void {
    this.#events.emit("changed");
  }
}
