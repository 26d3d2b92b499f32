import { wantedAddresses } from "#docker/addresses/weave-cidr.js";
import type { Engine } from "#docker/engine/engine.js";
import type { EngineListener } from "#docker/engine/events.js";
import type { EngineEvent } from "#docker/engine/shapes.js";
import { isWrapped } from "#docker/wait/wrapped.js";
import type { Requests } from "#ipam/allocation/requests.js";
import { parseAddress } from "#ipam/ring/subnet.js";
import { addressOfCidr, isIpv4 } from "#src/address.js";
import type { Clock } from "#src/clock.js";
import { errorText } from "#src/errors.js";
import type { Log } from "#src/log.js";
import { ThrottledTask } from "#src/throttled-task.js";

/** For this long after its request for an address or endpoint, Docker may not show it yet. */
export const UNCONFIRMED_MS = 30_000;
/** Least interval between two lists of containers: a list may be long, and events come in bursts. */
const LIST_MS = 1_000;
/** Limit of the number of addresses to avoid: no host has this many containers. */
const MAX_ADDRESSES = 65_536;

/** Events that change the containers or their networks. All others are ignored: health checks alone cause several events a second. */
const RELEVANT: ReadonlySet<string> = new Set([
  ...["create", "start", "die", "destroy"].map((action) => `container ${action}`),
  ...["connect", "disconnect"].map((action) => `network ${action}`),
]);

export interface RequestedAddressesDeps {
  readonly engine: Pick<Engine, "requestedAddresses" | "container">;
  readonly requests: Pick<Requests, "avoid">;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * Tracks the addresses that users chose for containers (`--ip`, or `WEAVE_CIDR` through the proxy). A stopped container requests
 * its address again when it starts. Until then the allocator gives the address to others only when no other is free.
 */
export class RequestedAddresses implements EngineListener {
  readonly #deps: RequestedAddressesDeps;
  readonly #list: ThrottledTask;
  /** Addresses of the last list of containers. */
  #listed: ReadonlySet<bigint> = new Set();
  /** Addresses that Docker has requested, with the time of the request in ms: its container may not be listed yet. */
  readonly #recent = new Map<bigint, number>();
  /** Addresses that containers request by `WEAVE_CIDR`, by container id. Lists do not show them; a container's environment never changes. */
  readonly #byVariable = new Map<string, readonly string[]>();
  #listing: Promise<void> = Promise.resolve();

  constructor(deps: RequestedAddressesDeps) {
    this.#deps = deps;
    this.#list = new ThrottledTask(deps.clock, LIST_MS, () => {
      this.#listing = this.#listing.then(() => this.#update());
    });
  }

  connected(): void {
    this.#list.request();
  }

  event({ Type, Action }: EngineEvent): void {
    if (RELEVANT.has(`${Type} ${Action}`)) this.#list.request();
  }

  /** Adds an address that Docker has just requested for a container. */
  add(address: bigint): void {
    this.#recent.set(address, this.#deps.clock.now());
    this.#avoid();
  }

  stop(): void {
    this.#list.cancel();
  }

  async #update(): Promise<void> {
    try {
      const containers = await this.#deps.engine.requestedAddresses();
      const ids = new Set(containers.map(({ id }) => id));
      for (const id of this.#byVariable.keys()) if (!ids.has(id)) this.#byVariable.delete(id);
      const all: string[] = [];
      for (const { id, addresses } of containers) all.push(...addresses, ...(await this.#requestedByVariable(id)));
      this.#listed = new Set(all.filter(isIpv4).slice(0, MAX_ADDRESSES).map(parseAddress));
      this.#avoid();
    } catch (error) {
      this.#deps.log.debug("the addresses that containers request could not be read", { why: errorText(error) });
    }
  }

  #avoid(): void {
    const now = this.#deps.clock.now();
    for (const [address, at] of this.#recent) if (now - at >= UNCONFIRMED_MS) this.#recent.delete(address);
    this.#deps.requests.avoid(new Set([...this.#listed, ...this.#recent.keys()]));
  }

  async #requestedByVariable(id: string): Promise<readonly string[]> {
    const known = this.#byVariable.get(id);
    if (known !== undefined) return known;
    try {
      const container = await this.#deps.engine.container(id);
      const wanted = isWrapped(container) ? wantedAddresses(container.Config.Env, false) : undefined;
      const addresses = (wanted ?? []).flatMap((each) => (each.kind === "ip" ? [addressOfCidr(each.cidr)] : []));
      this.#byVariable.set(id, addresses);
      return addresses;
    } catch {
      // The container has been removed, or its WEAVE_CIDR is invalid, and its start will fail.
      return [];
    }
  }
}
