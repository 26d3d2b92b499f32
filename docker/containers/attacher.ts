import { setTimeout as sleep } from "node:timers/promises";
import { WEAVE_CIDR, wantedAddresses } from "#docker/addresses/weave-cidr.js";
import type { ContainerObserver } from "#docker/containers/container-tracker.js";
import { writeHostsFile } from "#docker/containers/hosts-file.js";
import type { Container } from "#docker/engine/shapes.js";
import { isWrapped } from "#docker/wait/wrapped.js";
import type { Requests } from "#ipam/allocation/requests.js";
import { leaseText, parseLease, parseSubnet, type Subnet } from "#ipam/ring/subnet.js";
import { addressOfCidr } from "#src/address.js";
import type { AddressArgument } from "#src/address-argument.js";
import { errorText, WeaveError } from "#src/errors.js";
import { CONTAINER_IFNAME } from "#src/linux/links/interface-names.js";
import { findNetns } from "#src/linux/netns/netns.js";
import { networkFiles } from "#src/linux/netns/proc-net.js";
import { attachNamespace } from "#src/linux/netns/veth.js";
import type { Log } from "#src/log.js";

/** A wait for an address has an end where somebody waits for `docker run`. */
const WAIT_MS = 20_000;
/** A container that nobody waits for is tried again, ever later: it waits too, and has done nothing yet. As the original. */
const RETRY_MS = { first: 2_000, factor: 1.5, last: 60_000 };

export interface AttacherDeps {
  readonly bridge: string;
  /** Of the bridge, in bytes. */
  readonly mtu: number;
  /** Undefined where IPAM is off: then containers have the addresses that they name. */
  readonly ipam: { readonly requests: Requests; readonly defaultSubnet: Subnet } | undefined;
  readonly rewriteHosts: boolean;
  readonly multicastRoute: boolean;
  readonly log: Log;
}

/** Puts containers that were created through the proxy on the network when they start: they wait for it. */
export class Attacher implements ContainerObserver {
  readonly #parts: AttacherDeps;
  /** When each container that is attached was started, and what it has. */
  readonly #attached = new Map<string, { readonly since: string; readonly addresses: readonly string[] }>();
  /** Containers whose start somebody waits for, and why it failed. */
  readonly #expected = new Map<string, { error: unknown }>();
  /** Containers that could not be attached since they were started. */
  readonly #failed = new Set<string>();
  /** Those who wait until a container has been tried to be attached, once, since it was started. */
  readonly #waiting = new Map<string, Set<() => void>>();

  constructor(parts: AttacherDeps) {
    this.#parts = parts;
  }

  async running(container: Container, signal: AbortSignal): Promise<void> {
    const { Id, State } = container;
    if (!isWrapped(container) || this.#isAttached(container)) return;
    for (let delay = RETRY_MS.first; !signal.aborted; delay = Math.min(delay * RETRY_MS.factor, RETRY_MS.last)) {
      try {
        this.#attached.set(Id, { since: State.StartedAt, addresses: await this.#attach(container, signal) });
        this.#failed.delete(Id);
        this.#tried(Id);
        return;
      } catch (error) {
        if (signal.aborted) return;
        this.#failed.add(Id);
        this.#tried(Id);
        const expected = this.#expected.get(Id);
        if (expected !== undefined) {
          expected.error = error;
          return;
        }
        this.#parts.log.warn("a container could not be put on the network; it is tried again", {
          container: Id.slice(0, 12),
          why: errorText(error),
        });
      }
      await sleep(delay, undefined, { signal, ref: false }).catch(() => {});
    }
  }

  ended(id: string): void {
    this.#attached.delete(id);
    this.#failed.delete(id);
    this.#tried(id);
  }

  #isAttached({ Id, State }: Container): boolean {
    return this.#attached.get(Id)?.since === State.StartedAt;
  }

  #tried(id: string): void {
    for (const resolve of this.#waiting.get(id) ?? []) resolve();
    this.#waiting.delete(id);
  }

  /** Waits until a container of ours that has just started is on the network, or cannot be. @param limitMs at most so long */
  async settled(container: Container, limitMs: number): Promise<void> {
    if (!isWrapped(container) || this.#isAttached(container) || this.#failed.has(container.Id)) return;
    await new Promise<void>((resolve) => {
      const waiting = this.#waiting.get(container.Id) ?? new Set();
      this.#waiting.set(container.Id, waiting.add(resolve));
      setTimeout(() => {
        waiting.delete(resolve);
        resolve();
      }, limitMs).unref();
    });
  }

  /** Somebody waits for its start: a failure is kept for {@link outcome}, and it is not tried again. */
  expect(id: string): void {
    this.#expected.set(id, { error: undefined });
  }

  /** @throws why the container could not be attached */
  outcome(id: string): void {
    const error = this.#expected.get(id)?.error;
    this.#expected.delete(id);
    if (error !== undefined) throw error;
  }

  /** Resolves after so long; a container of ours that is not on the network by then has failed to start. */
  async givenUp(id: string, limitMs: number): Promise<void> {
    const expected = this.#expected.get(id);
    await sleep(limitMs, undefined, { ref: false });
    if (expected !== undefined && !this.#attached.has(id))
      expected.error ??= new WeaveError("WEAVE_DOCKER", `it was not on the network within ${limitMs / 1_000} s`, {
        next: "'weave status' shows what the router waits for, and its log why.",
      });
  }

  /** Without prefix lengths. */
  addressesOf(id: string): string[] {
    return (this.#attached.get(id)?.addresses ?? []).map((cidr) => addressOfCidr(cidr));
  }

  /** @returns its addresses, in CIDR notation */
  async #attach(container: Container, signal: AbortSignal): Promise<readonly string[]> {
    const { bridge, mtu, multicastRoute, rewriteHosts, log } = this.#parts;
    const wanted = wantedAddresses(container.Config.Env, true);
    if (wanted === undefined) return [];
    const addresses: string[] = [];
    for (const each of wanted) addresses.push(await this.#obtain(container.Id, each, signal));
    if (rewriteHosts) {
      try {
        writeHostsFile(container, addresses, container.HostConfig.ExtraHosts);
      } catch (error) {
        log.warn("/etc/hosts of a container was not rewritten", { container: container.Id, why: errorText(error) });
      }
    }
    // After a restart of the router all is as it was.
    const present = networkFiles(container.State.Pid).addressesOf(CONTAINER_IFNAME) ?? [];
    if (addresses.every((cidr) => present.includes(cidr))) return addresses;
    await attachNamespace(findNetns(String(container.State.Pid)), { bridge, mtu, addresses, multicastRoute });
    log.info("a container is on the network", { container: container.Id.slice(0, 12), addresses });
    return addresses;
  }

  async #obtain(id: string, wanted: AddressArgument, signal: AbortSignal): Promise<string> {
    const { ipam } = this.#parts;
    const options = { container: true, signal, ...(this.#expected.has(id) ? { timeoutMs: WAIT_MS } : {}) };
    if (wanted.kind === "ip") {
      await ipam?.requests.claim(id, parseLease(wanted.cidr), options);
      return wanted.cidr;
    }
    if (ipam === undefined) {
      throw new WeaveError("WEAVE_DOCKER", "IP address allocation is off on this host: a container needs WEAVE_CIDR", {
        next: `Run it with '-e ${WEAVE_CIDR}=10.2.1.1/24', say; or launch weave with a range.`,
      });
    }
    const subnet = wanted.subnet === "" ? ipam.defaultSubnet : parseSubnet(wanted.subnet);
    return leaseText(await ipam.requests.allocate(id, subnet, options));
  }
}
