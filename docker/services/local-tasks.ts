import { constants } from "node:os";
import type { ContainerObserver } from "#docker/containers/container-tracker.js";
import type { EngineListener } from "#docker/engine/events.js";
import type { Container, EngineEvent } from "#docker/engine/shapes.js";
import { isSwarmNetwork } from "#docker/plugin/network-driver.js";
import type { Clock, Timer } from "#src/clock.js";
import { findNetns, type Netns } from "#src/linux/netns/netns.js";

/** An endpoint of a container on a swarm's network. */
export interface LocalEndpoint {
  readonly network: string;
  readonly endpoint: string;
}

/** A running container on networks of a swarm. */
export interface LocalContainer {
  readonly netns: Netns;
  readonly endpoints: readonly LocalEndpoint[];
  /** Why it gets no new connections. */
  readonly draining: ReadonlySet<Reason>;
}

/** The first real-time signal, of glibc and musl (signal(7)); systemd stops by the third after it. */
const SIGRTMIN = 34;

/**
 * Time after a stop signal within which a container ends: Docker kills it after a grace period of 10 s. One that runs later has ignored
 * the signal (`docker kill -s TERM`). A service with a longer grace period drains by what managers know of its tasks.
 */
const STOPPING_MS = 60_000;

type Reason = "stopping" | "unhealthy" | "paused";

interface Tracked extends LocalContainer {
  readonly pid: number;
  readonly stopSignal: string;
  readonly draining: Set<Reason>;
  /** Ends the reason "stopping". */
  stopping?: Timer | undefined;
}

export interface LocalTasksDeps {
  readonly clock: Clock;
  /** Whether our plugin drives the Docker network with this id. */
  readonly isOurNetwork: (network: string) => boolean;
  /** Called when containers, their networks or their states have changed; with the networks of the container. */
  readonly onChange: (networks: readonly string[]) => void;
}

/** The containers of this host on networks of its swarm, and which of them get no new connections. */
export class LocalTasks implements ContainerObserver, EngineListener {
  readonly #deps: LocalTasksDeps;
  readonly #containers = new Map<string, Tracked>();

  constructor(deps: LocalTasksDeps) {
    this.#deps = deps;
  }

  get containers(): readonly LocalContainer[] {
    return [...this.#containers.values()];
  }

  running({ Id, State, Config, NetworkSettings }: Container): void {
    const before = this.#containers.get(Id);
    const networksBefore = before?.endpoints.map(({ network }) => network) ?? [];
    const endpoints = Object.values(NetworkSettings.Networks)
      .filter(({ NetworkID, EndpointID }) => EndpointID !== "" && isSwarmNetwork(NetworkID))
      .filter(({ NetworkID }) => this.#deps.isOurNetwork(NetworkID))
      .map(({ NetworkID, EndpointID }) => ({ network: NetworkID, endpoint: EndpointID }));
    const netns = endpoints.length === 0 ? undefined : netnsOf(State.Pid);
    // Another process: the container was restarted, and the events of that are lost.
    const same = before?.pid === State.Pid ? before : undefined;
    if (same === undefined || netns === undefined) before?.stopping?.cancel();
    if (netns === undefined) this.#containers.delete(Id);
    else {
      const draining = same?.draining ?? new Set<Reason>();
      const stopSignal = Config.StopSignal;
      this.#containers.set(Id, { pid: State.Pid, netns, endpoints, draining, stopSignal, stopping: same?.stopping });
      mark(draining, "paused", State.Paused);
      mark(draining, "unhealthy", State.Health?.Status === "unhealthy");
    }
    if (before === undefined && netns === undefined) return;
    this.#deps.onChange([...networksBefore, ...endpoints.map(({ network }) => network)]);
  }

  ended(id: string): void {
    const container = this.#containers.get(id);
    if (container === undefined) return;
    container.stopping?.cancel();
    this.#containers.delete(id);
    this.#deps.onChange(container.endpoints.map(({ network }) => network));
  }

  event({ Type, Action, Actor }: EngineEvent): void {
    const container = Type === "container" ? this.#containers.get(Actor.ID) : undefined;
    if (container === undefined) return;
    const { draining, endpoints, stopSignal } = container;
    const before = draining.size;
    // Swarm's agent stops a task by its signal, or kills it. Other signals do not end it.
    if (Action === "kill" && isStop(Actor.Attributes.signal ?? "", stopSignal)) this.#stops(Actor.ID, container);
    else if (Action === "pause" || Action === "unpause") mark(draining, "paused", Action === "pause");
    else if (Action.startsWith("health_status")) mark(draining, "unhealthy", /\bunhealthy$/.test(Action));
    else return;
    // A task that has become healthy may be listed now.
    if (draining.size !== before || Action.startsWith("health_status"))
      this.#deps.onChange(endpoints.map(({ network }) => network));
  }

  stop(): void {
    for (const { stopping } of this.#containers.values()) stopping?.cancel();
  }

  #stops(id: string, container: Tracked): void {
    container.draining.add("stopping");
    container.stopping?.cancel();
    container.stopping = this.#deps.clock.after(STOPPING_MS, () => {
      container.draining.delete("stopping");
      const now = this.#containers.get(id);
      if (now?.draining === container.draining) this.#deps.onChange(now.endpoints.map(({ network }) => network));
    });
  }
}

function mark(reasons: Set<Reason>, reason: Reason, applies: boolean): void {
  if (applies) reasons.add(reason);
  else reasons.delete(reason);
}

/** The namespace of a process; undefined if the process has ended, or is in the host's own namespace. */
function netnsOf(pid: number): Netns | undefined {
  try {
    return findNetns(String(pid));
  } catch {
    return undefined;
  }
}

/**
 * Whether a signal stops a container.
 *
 * @param signal a number, as events have it
 * @param stopSignal of the container's configuration: `SIGQUIT`, `QUIT` or a number; "" for SIGTERM
 */
export function isStop(signal: string, stopSignal: string): boolean {
  const { SIGKILL, SIGTERM } = constants.signals;
  const name = `SIG${stopSignal.toUpperCase().replace(/^SIG/, "")}`;
  const realTime = /^SIGRTMIN(?:\+(\d+))?$/.exec(name);
  const named = realTime
    ? SIGRTMIN + Number(realTime[1] ?? 0)
    : (constants.signals as Readonly<Record<string, number>>)[name];
  const stop = stopSignal === "" ? SIGTERM : (named ?? Number(stopSignal));
  return [SIGKILL, stop].includes(Number(signal));
}
