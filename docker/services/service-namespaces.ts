import { systemClock, type Timer } from "#src/clock.js";
import { errorText } from "#src/errors.js";
import type { ServiceAddress } from "#src/linux/firewall/services/service-address.js";
import { removeStaleFlows } from "#src/linux/firewall/services/service-flows.js";
import { type ServiceRules, serviceRules } from "#src/linux/firewall/services/service-rules.js";
import { isNetnsCurrent, type Netns } from "#src/linux/netns/netns.js";
import type { Log } from "#src/log.js";
import { Semaphore } from "#src/semaphore.js";

/** Number of namespaces that are changed at the same time: each takes a process, for some milliseconds of a core. */
const PARALLEL = 4;
/** Delay before rules that were not accepted are tried again. */
const RETRY_MS = 5_000;

/** A namespace with the rules that it must have. */
interface Place {
  netns: Netns;
  /** Empty: no rules. */
  wanted: readonly ServiceAddress[];
  /** What it has; undefined before the first change, as an earlier router may have left rules, and after a failure. */
  made: readonly ServiceAddress[] | undefined;
  /** Whether a container has it. */
  used: boolean;
  busy: boolean;
  /** Whether flows may lead to no task, and whether they are being removed. */
  mayBeStale: boolean;
  tidying: boolean;
  retry: Timer | undefined;
}

/** The services that a namespace can reach. */
export interface NamespaceServices {
  readonly netns: Netns;
  /** Undefined: they are not known yet, and its rules stay as they are. */
  readonly services: readonly ServiceAddress[] | undefined;
}

/** Figures for reports. */
export interface NamespacesStatus {
  /** Number of namespaces with rules. */
  readonly namespaces: number;
  /** Number of changes since the start. */
  readonly changes: number;
  readonly failures: number;
  /** Time that the last change took, in milliseconds. */
  readonly lastMs: number;
  /** The last failure of a namespace whose rules are not right; "" when all are. */
  readonly problem: string;
}

/** The rules of service addresses in the namespaces of containers. A namespace whose rules are right is not touched. */
export class ServiceNamespaces {
  readonly #log: Log;
  readonly #rules: ServiceRules;
  readonly #places = new Map<number, Place>();
  readonly #slots = new Semaphore(PARALLEL);
  readonly #tidySlots = new Semaphore(1);
  readonly #failing = new Map<number, string>();
  #changes = 0;
  #failures = 0;
  #lastMs = 0;

  constructor(log: Log, rules: ServiceRules = serviceRules()) {
    this.#log = log;
    this.#rules = rules;
  }

  get status(): NamespacesStatus {
    return {
      namespaces: [...this.#places.values()].filter(({ wanted }) => wanted.length > 0).length,
      changes: this.#changes,
      failures: this.#failures,
      lastMs: this.#lastMs,
      problem: [...this.#failing.values()].at(-1) ?? "",
    };
  }

  /** Gives these namespaces their rules, and removes those of all others that had some. Returns at once. */
  set(all: readonly NamespaceServices[]): void {
    const kept = new Set(all.map(({ netns }) => netns.inode));
    for (const [inode, place] of this.#places) {
      place.used = kept.has(inode);
      if (!place.used) this.#want(place, NONE);
    }
    for (const { netns, services } of all) {
      if (services === undefined) continue;
      const place = this.#placeOf(netns);
      this.#want(place, services);
    }
  }

  stop(): void {
    for (const { retry } of this.#places.values()) retry?.cancel();
    this.#places.clear();
  }

  /** The place of a namespace. The kernel gives the inode of one that has ended to a new one, which has no rules: the path of the other is gone. */
  #placeOf(netns: Netns): Place {
    const known = this.#places.get(netns.inode);
    if (known !== undefined && (known.netns.path === netns.path || isNetnsCurrent(known.netns))) {
      known.netns = netns;
      return known;
    }
    if (known !== undefined) {
      known.retry?.cancel();
      this.#drop(known);
    }
    const place: Place = {
      netns,
      wanted: NONE,
      made: undefined,
      used: true,
      busy: false,
      mayBeStale: false,
      tidying: false,
      retry: undefined,
    };
    this.#places.set(netns.inode, place);
    return place;
  }

  #want(place: Place, services: readonly ServiceAddress[]): void {
    place.wanted = services;
    if (place.busy || place.retry !== undefined) return;
    if (!isSame(services, place.made)) void this.#work(place);
    else if (!place.used) this.#drop(place);
  }

  /** Changes a namespace until it has what is wanted. */
  async #work(place: Place): Promise<void> {
    place.busy = true;
    await this.#slots.run(async () => {
      while (!isSame(place.wanted, place.made) && (await this.#change(place)));
    });
    place.busy = false;
    void this.#tidy(place);
    if (!place.used && place.retry === undefined) this.#drop(place);
  }

  /** @returns whether it succeeded */
  async #change(place: Place): Promise<boolean> {
    const { netns, wanted, made } = place;
    try {
      if (!isNetnsCurrent(netns)) throw new Error("another namespace is at its path");
      const begin = performance.now();
      if (wanted.length === 0) await this.#rules.remove(netns.path);
      else await this.#rules.apply(netns.path, wanted);
      this.#lastMs = performance.now() - begin;
      this.#changes++;
      place.made = wanted;
      this.#failing.delete(netns.inode);
      place.mayBeStale ||= canBeStale(made, wanted);
      return true;
    } catch (error) {
      // A container that has ended takes its rules with it.
      if (!isNetnsCurrent(netns)) {
        this.#drop(place);
        return false;
      }
      place.made = undefined;
      this.#fail(place, errorText(error));
      return false;
    }
  }

  /** Removes flows that lead to no task. Changes of the rules do not wait for it: a namespace can have thousands of flows. */
  async #tidy(place: Place): Promise<void> {
    if (place.tidying) return;
    place.tidying = true;
    while (place.mayBeStale && place.made !== undefined) {
      place.mayBeStale = false;
      const services = place.made;
      await this.#tidySlots.run(() => this.#removeStale(place.netns, services));
    }
    place.tidying = false;
  }

  #fail(place: Place, why: string): void {
    this.#failures++;
    if (this.#failing.get(place.netns.inode) !== why)
      this.#log.warn("service addresses could not be set in a namespace; this is tried again", {
        netns: place.netns.path,
        why,
      });
    this.#failing.set(place.netns.inode, why);
    place.retry = systemClock.after(RETRY_MS, () => {
      place.retry = undefined;
      void this.#work(place);
    });
  }

  #drop(place: Place): void {
    const { inode } = place.netns;
    if (this.#places.get(inode) !== place) return;
    this.#places.delete(inode);
    this.#failing.delete(inode);
  }

  async #removeStale(netns: Netns, services: readonly ServiceAddress[]): Promise<void> {
    try {
      const removed = await removeStaleFlows(netns.path, services);
      if (removed.length > 0)
        this.#log.debug("flows to tasks that are gone were removed", { netns: netns.path, flows: removed });
    } catch (error) {
      if (isNetnsCurrent(netns))
        this.#log.info("flows to tasks that are gone were not removed", { netns: netns.path, why: errorText(error) });
    }
  }
}

const NONE: readonly ServiceAddress[] = [];

/** Whether two lists of services are equal. Most are the same object: containers on the same networks share it. */
const isSame = (a: readonly ServiceAddress[], b: readonly ServiceAddress[] | undefined): boolean =>
  a === b || (b !== undefined && JSON.stringify(a) === JSON.stringify(b));

/** Whether flows may lead to no task after a change: a task is gone, or a service is new. To list all flows takes a process. */
function canBeStale(before: readonly ServiceAddress[] | undefined, services: readonly ServiceAddress[]): boolean {
  const tasksOf = ({ targets, draining }: ServiceAddress) => [...targets, ...draining];
  const known = new Map((before ?? []).map((service) => [service.address, service]));
  const current = new Map(services.map((service) => [service.address, new Set(tasksOf(service))]));
  return (
    services.some(({ address }) => !known.has(address)) ||
    [...known.values()].some((service) =>
      tasksOf(service).some((task) => current.get(service.address)?.has(task) === false),
    )
  );
}
