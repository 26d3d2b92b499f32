import { setTimeout as sleep } from "node:timers/promises";
import { type Engine, EngineError } from "#docker/engine/engine.js";
import { type EngineListener, followEngine } from "#docker/engine/events.js";
import { type Container, type EngineEvent, isContainerId, nameOf } from "#docker/engine/shapes.js";
import type { ContainerLifecycle } from "#src/container-lifecycle.js";
import { errorText } from "#src/errors.js";
import type { Log } from "#src/log.js";

/** Containers that are looked at at the same time, when an engine has come up: it answers each from its memory. */
const AT_ONCE = 8;
/** One that takes longer waits for something, and does not hold up the others. */
const TURN_MS = 2_000;

/** Events after which there are other containers, or containers with other networks. */
const MEMBERSHIP: ReadonlySet<string> = new Set([
  ...["create", "start", "die", "destroy"].map((action) => `container ${action}`),
  ...["connect", "disconnect"].map((action) => `network ${action}`),
]);

/** Is told of containers, in order for each one. */
export interface ContainerObserver {
  /** It runs. Told again whenever something of it may have changed. */
  running(container: Container, signal: AbortSignal): Promise<void> | void;
  /** It has ended, or it was found that it has. */
  ended(id: string): void;
}

export interface ContainerTrackerDeps {
  readonly engine: Engine;
  readonly holders: readonly ContainerLifecycle[];
  readonly observers: readonly ContainerObserver[];
  /** The engine has come up; its containers will be looked at next. */
  readonly onConnected: () => Promise<void>;
  /** A network was removed, by somebody or by `docker network prune`. */
  readonly onNetworkGone: () => void;
  /** Containers or their networks have changed, it may be. */
  readonly onChanged: () => void;
  /** A network was made, by a driver. */
  readonly onNetworkMade: (name: string, driver: string) => void;
  /** All its containers have been looked at. */
  readonly onReady: () => void;
  readonly log: Log;
}

/** Knows which containers run on this host, and tells those who keep something for them. */
export class ContainerTracker implements EngineListener {
  readonly #parts: ContainerTrackerDeps;
  readonly #stop = new AbortController();
  /** Containers that run, each with what ends the work for it. Undefined while no engine answers. */
  #running: Map<string, AbortController> | undefined;
  /** The last piece of work for each container. */
  readonly #work = new Map<string, Promise<void>>();
  /** What those that run are called, by id. */
  readonly #names = new Map<string, string>();
  #problem: string | undefined;

  constructor(parts: ContainerTrackerDeps) {
    this.#parts = parts;
  }

  follow(): void {
    void followEngine(this.#parts.engine, this, this.#parts.log, this.#stop.signal);
  }

  stop(): void {
    this.#stop.abort();
    for (const work of this.#running?.values() ?? []) work.abort();
  }

  /** Asks the engine about one that we have not heard of: it may have started this moment. True while nobody knows. */
  async isRunning(id: string): Promise<boolean> {
    if (this.#running?.has(id) ?? true) return true;
    try {
      return (await this.#parts.engine.container(id)).State.Running;
    } catch (error) {
      return !(error instanceof EngineError && error.status === 404);
    }
  }

  /** What users call a holder of addresses, a container or something else. */
  describe(ident: string): string {
    const name = this.#names.get(ident);
    if (name !== undefined) return `container ${name} (${ident.slice(0, 12)})`;
    return isContainerId(ident) ? `container ${ident.slice(0, 12)}` : ident;
  }

  /** Those that run; undefined before an engine has answered. */
  get count(): number | undefined {
    return this.#running?.size;
  }

  /** Why no engine answers; undefined while one does. */
  get problem(): string | undefined {
    return this.#problem;
  }

  async connected(): Promise<void> {
    const { engine, log } = this.#parts;
    const ids = await engine.running();
    log.info("the Docker engine answers", { api: engine.version, containers: ids.length });
    this.#problem = undefined;
    const before = this.#running ?? new Map<string, AbortController>();
    const running = new Map(ids.map((id) => [id, before.get(id) ?? new AbortController()]));
    this.#running = running;
    for (const id of before.keys()) if (!running.has(id)) this.#ended(id);
    for (const holder of this.#parts.holders)
      for (const id of [...holder.idents()].filter(isContainerId)) {
        if (running.has(id)) holder.alive(id);
        else holder.died(id);
      }
    await this.#parts.onConnected();
    // Not waited for: one of them may wait for an address, and what happens to the others must be heard.
    void this.#lookAtAll(ids).then(() => this.#parts.onReady());
  }

  async #lookAtAll(ids: readonly string[]): Promise<void> {
    const queue = [...ids];
    const worker = async () => {
      for (let id = queue.pop(); id !== undefined; id = queue.pop())
        await Promise.race([this.look(id).catch(() => {}), sleep(TURN_MS, undefined, { ref: false })]);
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
  }

  happened({ Type, Action, Actor }: EngineEvent): void {
    // Healthchecks alone make several events a second.
    if (MEMBERSHIP.has(`${Type} ${Action}`)) this.#parts.onChanged();
    if (Type === "network") {
      if (Action === "destroy") this.#parts.onNetworkGone();
      if (Action === "create") this.#parts.onNetworkMade(Actor.Attributes.name ?? "", Actor.Attributes.type ?? "");
      const id = Actor.Attributes.container ?? "";
      // A start and an end tell of their own networks.
      if (["connect", "disconnect"].includes(Action) && this.#running?.has(id)) void this.look(id);
      return;
    }
    if (Type !== "container" || !isContainerId(Actor.ID)) return;
    switch (Action) {
      case "start":
        this.#running?.set(Actor.ID, this.#running.get(Actor.ID) ?? new AbortController());
        for (const holder of this.#parts.holders) holder.alive(Actor.ID);
        void this.look(Actor.ID);
        return;
      case "rename":
        if (this.#running?.has(Actor.ID)) void this.look(Actor.ID);
        return;
      case "die":
        this.#ended(Actor.ID);
        return;
    }
  }

  lost(why: string): void {
    if (this.#problem !== why) this.#parts.log.info("the Docker engine does not answer", { why });
    this.#problem = why;
    // What runs goes on running, it may be; it will be looked up.
  }

  /**
   * Has observers look at a container, after what is being done for it. Resolves when they are done with it.
   *
   * @throws what an observer threw
   */
  look(id: string): Promise<void> {
    const before = this.#work.get(id) ?? Promise.resolve();
    const work = before.catch(() => {}).then(() => this.#look(id));
    this.#work.set(id, work);
    const done = () => {
      if (this.#work.get(id) === work) this.#work.delete(id);
    };
    work.then(done, done);
    work.catch((error) =>
      this.#parts.log.warn("a container could not be served", { container: id, why: errorText(error) }),
    );
    return work;
  }

  /**
   * As {@link look}, of a container that the engine has just started, whether or not its event has come. What is still done for
   * an earlier run of it ends.
   */
  started(id: string): Promise<void> {
    this.#running?.get(id)?.abort();
    this.#running?.set(id, new AbortController());
    return this.look(id);
  }

  async #look(id: string): Promise<void> {
    const work = this.#running?.get(id);
    const signal = work?.signal ?? this.#stop.signal;
    if (signal.aborted) return;
    let container: Container;
    try {
      container = await this.#parts.engine.container(id, signal);
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof EngineError && error.status === 404)) throw error;
      return this.#notRunning(id, work);
    }
    if (!container.State.Running) return this.#notRunning(id, work);
    if (this.#running?.has(id)) this.#names.set(id, nameOf(container));
    for (const observer of this.#parts.observers) await observer.running(container, signal);
  }

  /** Its end came before we looked: should the event have come before we knew of its start, it will not come again. */
  #notRunning(id: string, work: AbortController | undefined): void {
    if (work !== undefined && this.#running?.get(id) === work) this.#ended(id);
  }

  #ended(id: string): void {
    this.#running?.get(id)?.abort();
    this.#running?.delete(id);
    this.#names.delete(id);
    // First those who look at what the holders still have of it.
    for (const observer of this.#parts.observers) observer.ended(id);
    for (const holder of this.#parts.holders) holder.died(id);
  }
}
