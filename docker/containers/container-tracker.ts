import { setTimeout as sleep } from "node:timers/promises";
import { type Engine, EngineError } from "#docker/engine/engine.js";
import type { EngineListener } from "#docker/engine/events.js";
import { type Container, type EngineEvent, isContainerId, nameOf, shortId } from "#docker/engine/shapes.js";
import type { ContainerLifecycle } from "#src/container-lifecycle.js";
import { errorText } from "#src/errors.js";
import type { Log } from "#src/log.js";

/** Number of containers that are inspected at the same time after a connect. The engine answers from its memory. */
const PARALLEL = 8;
/** Limit for one container after a connect. One that takes longer waits, for an address for example, and must not delay the others. */
const CATCH_UP_MS = 2_000;

/** Receives the state of each running container. Calls for one container come one after another. */
export interface ContainerObserver {
  /**
   * The container runs. Called again whenever its state may have changed.
   *
   * @param signal aborted when this run of the container ends
   */
  running(container: Container, signal: AbortSignal): Promise<void> | void;
  /** The container has ended, perhaps some time ago. */
  ended?(id: string): void;
}

export interface ContainerTrackerDeps {
  readonly engine: Engine;
  /** Components that keep addresses or names for containers. */
  readonly lifecycles: readonly ContainerLifecycle[];
  /** Called one after another, in this order. */
  readonly observers: readonly ContainerObserver[];
  readonly log: Log;
}

/** One run of a container: the container as inspected, and a signal that is aborted when the run ends. */
interface Run {
  readonly container: Container;
  readonly signal: AbortSignal;
}

/** Tracks the running containers of this host, and informs observers and the services that hold data for containers. */
export class ContainerTracker implements EngineListener {
  readonly #deps: ContainerTrackerDeps;
  readonly #stop = new AbortController();
  /** Running containers by id; each controller is aborted when the run ends. Undefined before an engine has answered. */
  #running: Map<string, AbortController> | undefined;
  /** The last task queued for each container. */
  readonly #queues = new Map<string, Promise<void>>();
  /** Names of the running containers, by id. */
  readonly #names = new Map<string, string>();
  #problem: string | undefined;

  constructor(deps: ContainerTrackerDeps) {
    this.#deps = deps;
  }

  stop(): void {
    this.#stop.abort();
    for (const run of this.#running?.values() ?? []) run.abort();
  }

  /** Whether a container runs. One that is not known to run is inspected, since it may have just started. True while the state is unknown. */
  async isRunning(id: string): Promise<boolean> {
    if (this.#running?.has(id) ?? true) return true;
    try {
      return (await this.#deps.engine.container(id)).State.Running;
    } catch (error) {
      return !(error instanceof EngineError && error.status === 404);
    }
  }

  /** Describes a holder of addresses, a container or another, for messages. */
  describe(ident: string): string {
    const name = this.#names.get(ident);
    if (name !== undefined) return `container ${name} (${shortId(ident)})`;
    return isContainerId(ident) ? `container ${shortId(ident)}` : ident;
  }

  /** Number of running containers; undefined before an engine has answered. */
  get count(): number | undefined {
    return this.#running?.size;
  }

  /** Why no engine answers; undefined while one does. */
  get problem(): string | undefined {
    return this.#problem;
  }

  async connected(): Promise<void> {
    const { engine, log, lifecycles } = this.#deps;
    const ids = await engine.runningIds();
    log.info("the Docker engine answers", {
      product: engine.product,
      api: engine.version,
      containers: ids.length,
    });
    this.#problem = undefined;
    const before = this.#running ?? new Map<string, AbortController>();
    const running = new Map(ids.map((id) => [id, before.get(id) ?? new AbortController()]));
    this.#running = running;
    for (const id of before.keys()) if (!running.has(id)) this.#ended(id);
    for (const lifecycle of lifecycles)
      for (const id of [...lifecycle.idents()].filter(isContainerId)) {
        if (running.has(id)) lifecycle.containerRuns(id);
        else lifecycle.containerEnded(id);
      }
  }

  /** Informs the observers of all running containers. */
  async catchUp(): Promise<void> {
    const queue = [...(this.#running?.keys() ?? [])];
    const worker = async () => {
      for (let id = queue.pop(); id !== undefined; id = queue.pop())
        await Promise.race([this.#update(id), sleep(CATCH_UP_MS, undefined, { ref: false })]);
    };
    await Promise.all(Array.from({ length: PARALLEL }, worker));
  }

  event({ Type, Action, Actor }: EngineEvent): void {
    if (Type === "network" && ["connect", "disconnect"].includes(Action)) {
      const id = Actor.Attributes.container ?? "";
      // Docker sends these events also at the start and the end of a container, which are handled below.
      if (this.#running?.has(id)) void this.#update(id);
    }
    if (Type !== "container" || !isContainerId(Actor.ID)) return;
    switch (Action) {
      case "start":
        this.#running?.set(Actor.ID, this.#running.get(Actor.ID) ?? new AbortController());
        for (const lifecycle of this.#deps.lifecycles) lifecycle.containerRuns(Actor.ID);
        void this.#update(Actor.ID);
        return;
      case "rename":
        if (this.#running?.has(Actor.ID)) void this.#update(Actor.ID);
        return;
      case "die":
        this.#ended(Actor.ID);
        return;
      // Podman may remove a container whose end it has not seen.
      case "remove":
        if (this.#running?.has(Actor.ID)) this.#ended(Actor.ID);
        return;
    }
  }

  /** Containers can run without an engine, so none is treated as ended. The next connect compares. */
  disconnected(why: string): void {
    if (this.#problem !== why) this.#deps.log.info("the Docker engine does not answer", { why });
    this.#problem = why;
  }

  /**
   * Serves a container that the engine has just started, whether or not its event has arrived: aborts the tasks of its earlier
   * run, runs `work`, and informs the observers. Does nothing for a container that has already ended, or that the engine does not
   * show.
   *
   * @throws the error of `work`; then the observers are not informed
   */
  serveStarted(id: string, work: (container: Container, signal: AbortSignal) => Promise<void>): Promise<void> {
    this.#running?.get(id)?.abort();
    this.#running?.set(id, new AbortController());
    return this.#enqueue(id, async () => {
      const run = await this.#inspect(id).catch((error) => this.#warn(id, error));
      if (run === undefined) return;
      await work(run.container, run.signal);
      await this.#inform(run).catch((error) => this.#warn(id, error));
    });
  }

  /** Informs the observers of a container. Never rejects. */
  #update(id: string): Promise<void> {
    return this.#enqueue(id, async () => {
      const run = await this.#inspect(id);
      if (run !== undefined) await this.#inform(run);
    }).catch((error) => this.#warn(id, error));
  }

  /** Runs a task after the earlier tasks of the same container have succeeded or failed. */
  #enqueue(id: string, task: () => Promise<void>): Promise<void> {
    const before = this.#queues.get(id) ?? Promise.resolve();
    const work = before.catch(() => {}).then(task);
    this.#queues.set(id, work);
    const done = () => {
      if (this.#queues.get(id) === work) this.#queues.delete(id);
    };
    work.then(done, done);
    return work;
  }

  #warn(id: string, error: unknown): undefined {
    this.#deps.log.warn("a container could not be served", { container: id, why: errorText(error) });
  }

  /** @returns undefined for a container that does not run, or whose run has ended */
  async #inspect(id: string): Promise<Run | undefined> {
    const run = this.#running?.get(id);
    const signal = run?.signal ?? this.#stop.signal;
    if (signal.aborted) return undefined;
    try {
      const container = await this.#deps.engine.container(id, signal);
      if (container.State.Running) return { container, signal };
    } catch (error) {
      if (signal.aborted) return undefined;
      if (!(error instanceof EngineError && error.status === 404)) throw error;
    }
    // The event of this end came before the start was known: no other event will report it.
    if (run !== undefined && this.#running?.get(id) === run) this.#ended(id);
    return undefined;
  }

  async #inform({ container, signal }: Run): Promise<void> {
    if (this.#running?.has(container.Id)) this.#names.set(container.Id, nameOf(container));
    for (const observer of this.#deps.observers) await observer.running(container, signal);
  }

  #ended(id: string): void {
    this.#running?.get(id)?.abort();
    this.#running?.delete(id);
    this.#names.delete(id);
    // The observers come first, because they read data that the services delete.
    for (const observer of this.#deps.observers) observer.ended?.(id);
    for (const lifecycle of this.#deps.lifecycles) lifecycle.containerEnded(id);
  }
}
