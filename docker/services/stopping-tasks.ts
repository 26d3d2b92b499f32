import { type Engine, EngineError } from "#docker/engine/engine.js";
import type { EngineListener } from "#docker/engine/events.js";
import type { EngineEvent, SwarmService, SwarmTask } from "#docker/engine/shapes.js";
import type { TaskFields } from "#docker/services/task-record.js";
import { addressOfCidr, isIpv4 } from "#src/address.js";
import { pause, systemClock } from "#src/clock.js";
import { errorText } from "#src/errors.js";
import type { Log } from "#src/log.js";

/** Delays after a change of a service or node at which the tasks are read: the manager decides within these times what to stop. */
const FIRST_MS = [30, 100, 200, 300, 500];
/** Interval of further reads, while a service is being updated or tasks are being stopped. */
const NEXT_MS = 500;
/** Time without such tasks after which no further read follows. */
const QUIET_MS = 5_000;
/** Maximum number of services and nodes that are followed at the same time. */
const MAX_SUBJECTS = 64;

export interface StoppingTasksDeps {
  readonly engine: Engine;
  readonly onChange: () => void;
  readonly log: Log;
}

/** Tasks that a manager is about to stop, as a filter selects them. */
interface Subject {
  /** Time of the last sign that tasks are being stopped. */
  active: number;
  tasks: readonly TaskFields[];
}

/**
 * The tasks that a manager of the swarm has decided to stop. The node's agent signals the task only 2 s later, so that until then all
 * hosts can stop to send new connections to it. On a worker there are none: only managers know, and have these events.
 */
export class StoppingTasks implements EngineListener {
  readonly #deps: StoppingTasksDeps;
  readonly #stop = new AbortController();
  /** By `service ID` and `node ID`. */
  readonly #subjects = new Map<string, Subject>();

  constructor(deps: StoppingTasksDeps) {
    this.#deps = deps;
  }

  /** As records of this host, with the id of the task in place of the endpoint's. */
  get tasks(): readonly TaskFields[] {
    const unique = new Map<string, TaskFields>();
    for (const { tasks } of this.#subjects.values())
      for (const task of tasks) unique.set(`${task.network} ${task.endpoint}`, task);
    return [...unique.values()];
  }

  event({ Type, Action, Actor }: EngineEvent): void {
    if ((Type !== "service" && Type !== "node") || !["update", "remove"].includes(Action)) return;
    const key = `${Type} ${Actor.ID}`;
    const subject = this.#subjects.get(key);
    if (subject !== undefined) {
      subject.active = performance.now();
      return;
    }
    if (this.#subjects.size >= MAX_SUBJECTS) return;
    this.#subjects.set(key, { active: performance.now(), tasks: [] });
    void this.#follow(key, Type, Actor.ID);
  }

  stop(): void {
    this.#stop.abort();
  }

  async #follow(key: string, type: "service" | "node", id: string): Promise<void> {
    const subject = this.#subjects.get(key)!;
    const { signal } = this.#stop;
    try {
      for (let read = 0; performance.now() - subject.active < QUIET_MS; read++) {
        await pause(systemClock, FIRST_MS[read] ?? NEXT_MS, signal);
        if (signal.aborted) return;
        const before = subject.tasks;
        const { tasks, isUpdated } = await this.#read(type, id);
        if (isUpdated || tasks.length > 0) subject.active = performance.now();
        subject.tasks = tasks;
        if (JSON.stringify(before) !== JSON.stringify(tasks)) this.#deps.onChange();
      }
    } catch (error) {
      this.#deps.log.debug("the tasks that the swarm stops could not be read", { of: key, why: errorText(error) });
    } finally {
      this.#subjects.delete(key);
      if (subject.tasks.length > 0 && !signal.aborted) this.#deps.onChange();
    }
  }

  async #read(type: "service" | "node", id: string): Promise<{ tasks: TaskFields[]; isUpdated: boolean }> {
    const { engine } = this.#deps;
    const found = await engine.tasks({ [type]: [id], "desired-state": ["shutdown", "remove"] }).catch((error) => {
      // The service was removed: its containers are stopped without a delay.
      if (error instanceof EngineError && error.status === 404) return [];
      throw error;
    });
    const stopping = found.filter(({ Status }) => Status.State === "running");
    const ids = new Set(stopping.map(({ ServiceID }) => ServiceID));
    if (type === "service") ids.add(id);
    const services = new Map<string, SwarmService>();
    for (const each of ids) {
      const service = await engine.service(each).catch(() => undefined);
      if (service !== undefined) services.set(each, service);
    }
    return {
      tasks: stopping.flatMap((task) => recordsOf(task, services.get(task.ServiceID))),
      isUpdated: [...services.values()].some(({ UpdateStatus }) =>
        ["updating", "rollback_started"].includes(UpdateStatus?.State ?? ""),
      ),
    };
  }
}

/** The records of a task on all networks on which its service has an address. */
function recordsOf(task: SwarmTask, service: SwarmService | undefined): TaskFields[] {
  const vips = new Map(service?.Endpoint?.VirtualIPs.map(({ NetworkID, Addr }) => [NetworkID, addressOfCidr(Addr)]));
  return task.NetworksAttachments.flatMap(({ Network: { ID: network }, Addresses }) => {
    const vip = vips.get(network) ?? "";
    const [address = ""] = Addresses.map((cidr) => addressOfCidr(cidr)).filter(isIpv4);
    if (!isIpv4(vip) || address === "") return [];
    return [{ network, endpoint: task.ID, service: vip, address, state: "draining" as const }];
  });
}
