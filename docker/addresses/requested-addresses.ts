import { wantedAddresses } from "#docker/addresses/weave-cidr.js";
import type { Engine } from "#docker/engine/engine.js";
import { isWrapped } from "#docker/wait/wrapped.js";
import type { Requests } from "#ipam/allocation/requests.js";
import { parseAddress } from "#ipam/ring/subnet.js";
import { addressOfCidr, isIpv4 } from "#src/address.js";
import { type Clock, systemClock } from "#src/clock.js";
import { errorText } from "#src/errors.js";
import type { Log } from "#src/log.js";
import { ThrottledTask } from "#src/throttled-task.js";

/** Docker may not yet show what it has requested within this time. */
export const UNCONFIRMED_MS = 30_000;
/** Containers are listed at most this often: the list is long on some hosts, and events come in bursts. */
const LOOK_MS = 1_000;
/** As many addresses are avoided at most: one host does not have this many containers. */
const MAX_WISHED = 65_536;

/**
 * Addresses that containers ask for by name (`--ip`, or `WEAVE_CIDR` through the proxy). One that does not run now will ask again
 * when it is started: until then its address is handed to others last.
 */
export class RequestedAddresses {
  readonly #engine: Pick<Engine, "addressesAskedFor" | "container">;
  readonly #requests: Pick<Requests, "avoid">;
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #soon: ThrottledTask;
  /** What containers asked for when they were last listed. */
  #listed: ReadonlySet<bigint> = new Set();
  /** What Docker has asked for since, and when: a container may end before it is listed. */
  readonly #recent = new Map<bigint, number>();
  /** What containers of the proxy ask for, which the list does not show. A container's environment never changes. */
  readonly #byVariable = new Map<string, readonly string[]>();
  #looking: Promise<void> = Promise.resolve();

  constructor(
    engine: Pick<Engine, "addressesAskedFor" | "container">,
    requests: Pick<Requests, "avoid">,
    log: Log,
    clock: Clock = systemClock,
  ) {
    this.#engine = engine;
    this.#requests = requests;
    this.#log = log;
    this.#clock = clock;
    this.#soon = new ThrottledTask(clock, LOOK_MS, () => {
      this.#looking = this.#looking.then(() => this.#look());
    });
  }

  /** Containers were made or removed, it may be. */
  changed(): void {
    this.#soon.request();
  }

  /** Docker asks for an address by name. */
  asked(address: bigint): void {
    this.#recent.set(address, this.#clock.now());
    this.#avoid();
  }

  stop(): void {
    this.#soon.cancel();
  }

  async #look(): Promise<void> {
    try {
      const containers = await this.#engine.addressesAskedFor();
      const ids = new Set(containers.map(({ id }) => id));
      for (const id of this.#byVariable.keys()) if (!ids.has(id)) this.#byVariable.delete(id);
      const asked: string[] = [];
      for (const { id, addresses } of containers) asked.push(...addresses, ...(await this.#askedByVariable(id)));
      this.#listed = new Set(asked.filter(isIpv4).slice(0, MAX_WISHED).map(parseAddress));
      this.#avoid();
    } catch (error) {
      this.#log.debug("it is not known which addresses containers ask for", { why: errorText(error) });
    }
  }

  #avoid(): void {
    const now = this.#clock.now();
    for (const [address, at] of this.#recent) if (now - at >= UNCONFIRMED_MS) this.#recent.delete(address);
    this.#requests.avoid(new Set([...this.#listed, ...this.#recent.keys()]));
  }

  async #askedByVariable(id: string): Promise<readonly string[]> {
    const known = this.#byVariable.get(id);
    if (known !== undefined) return known;
    try {
      const container = await this.#engine.container(id);
      const wanted = isWrapped(container) ? wantedAddresses(container.Config.Env, false) : undefined;
      const asked = (wanted ?? []).flatMap((each) => (each.kind === "ip" ? [addressOfCidr(each.cidr)] : []));
      this.#byVariable.set(id, asked);
      return asked;
    } catch {
      // It has been removed meanwhile, or asks for what is no address: its start will fail.
      return [];
    }
  }
}
