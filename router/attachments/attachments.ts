import { readFileSync, writeFileSync } from "node:fs";
import type { HostsFile } from "#docker/container-attachments.js";
import type { BusyHolders } from "#router/attachments/busy-holders.js";
import { readHostsFile, writeHostsFile } from "#router/attachments/hosts-file.js";
import { type AttachmentIpam, AttachmentLeases, cancelled, type LeaseRequest } from "#router/attachments/leases.js";
import { AttachmentNames, type AttachmentNameserver } from "#router/attachments/names.js";
import { type Exposure, throwExposeError } from "#router/exposure/exposure.js";
import { parseCidr } from "#src/address.js";
import type { AddressArgument } from "#src/address-argument.js";
import { errorText, WeaveError } from "#src/errors.js";
import { EXPOSED } from "#src/ident.js";
import { withTimeLimit } from "#src/joined-signal.js";
import { KeyedQueue } from "#src/keyed-queue.js";
import { CONTAINER_IFNAME } from "#src/linux/links/interface-names.js";
import { inspectNamespace } from "#src/linux/netns/inspect.js";
import { isNetnsCurrent, type Netns } from "#src/linux/netns/netns.js";
import { networkFiles } from "#src/linux/netns/proc-net.js";
import { attachNamespace, detachNamespace } from "#src/linux/netns/veth.js";
import type { Log } from "#src/log.js";
import { Resources } from "#src/resources.js";

/** Time limit for undoing each step of a failed attachment: on a busy host one `ip` process takes seconds. */
const UNDO_MS = 10_000;
/** A request with a limit waits at least this long for its turn: the one before it may be busy rather than wait for an address. */
const MIN_TURN_MS = 5_000;
/** Limit for the turn of a request that takes addresses away: one before it may wait for an address without a limit. */
const RELEASE_TURN_MS = 30_000;

export interface AttachmentsDeps {
  /** Undefined when address allocation is off. */
  readonly ipam: AttachmentIpam | undefined;
  /** Undefined when weaveDNS is off. */
  readonly names: AttachmentNameserver | undefined;
  readonly exposure: Pick<Exposure, "expose" | "hide" | "addresses">;
  /** Addresses of the hosts that this host is connected to. Exposing an address must not change the routes to them. */
  readonly connectedHosts: () => readonly string[];
  readonly busy: BusyHolders;
  readonly log: Log;
}

export interface AttachmentsOptions {
  readonly bridge: string;
  /** MTU of the bridge, in bytes. */
  readonly mtu: number;
}

/** A name for the addresses of an attachment. */
export interface AttachmentName {
  readonly fqdn: string;
  /** The container with this name, if another one in its namespace holds the addresses. */
  readonly ident?: string | undefined;
  /** True: the attachment fails when weaveDNS is off. */
  readonly required: boolean;
}

interface AddressRequest {
  readonly wanted: readonly AddressArgument[];
  /** Time limit for obtaining an address; undefined: none. */
  readonly timeoutMs: number | undefined;
  /** Aborted when the client has disconnected: the request ends. */
  readonly signal: AbortSignal;
  readonly name?: AttachmentName | undefined;
  /** Receives warnings of a request that succeeds. */
  readonly warn?: (text: string) => void;
  /** Prefix of the error message for an address that the request names. */
  readonly claimPrefix?: string;
}

/** A request to attach a network namespace. */
export interface NamespaceRequest extends AddressRequest {
  /** The holder of the addresses and names. */
  readonly ident: string;
  readonly netns: Netns;
  /** First process of a container that the Docker integration attaches. A container that is already attached stays unchanged. */
  readonly pid?: number;
  readonly multicastRoute: boolean;
  /** The hosts file to write; undefined: it stays unchanged. */
  readonly hostsFile: HostsFile | undefined;
  /** True: the attachment fails when the hosts file cannot be written; otherwise the failure is logged. */
  readonly hostsFileRequired?: boolean;
}

/** A request to expose addresses of the host on the overlay. */
export interface HostRequest extends AddressRequest {
  readonly masquerade: boolean;
}

/**
 * Attaches network namespaces and the host itself to the overlay, in four steps: addresses, hosts file, interface, names. When
 * a step fails, the previous steps are undone. If the router ends midway, a repetition of the request completes the attachment.
 * Requests for one namespace are handled one after another.
 */
export class Attachments {
  readonly #deps: AttachmentsDeps;
  readonly #options: AttachmentsOptions;
  readonly #leases: AttachmentLeases;
  readonly #names: AttachmentNames;
  readonly #queue = new KeyedQueue();

  constructor(deps: AttachmentsDeps, options: AttachmentsOptions) {
    this.#deps = deps;
    this.#options = options;
    this.#leases = new AttachmentLeases(deps.ipam, options.bridge, deps.log);
    this.#names = new AttachmentNames(deps.names);
  }

  /** See {@link AttachmentNames.qualified}. */
  qualified(name: string): string {
    return this.#names.qualified(name);
  }

  /**
   * Attaches a namespace. Idempotent; a request for further addresses adds them.
   *
   * @returns the requested addresses, in CIDR notation
   * @throws WeaveError; the namespace then is as it was before
   */
  attach(request: NamespaceRequest): Promise<readonly string[]> {
    const { ident, netns, pid } = request;
    return this.#transaction(keyOf(netns), request, ident, async (undo) => {
      const present = await addressesIn(netns, pid);
      const addresses = await this.#leases.obtain(leaseRequest(request, ident, true), present, undo);
      this.#writeHostsFile(request, addresses, undo);
      // After a restart of the router alone, the interface of a container is already complete.
      if (pid === undefined || !addresses.every((cidr) => present.includes(cidr)) || isWaiting(pid))
        await this.#makeInterface(request, addresses, present, undo);
      this.#register(ident, request.name, addresses, undo);
      return addresses;
    });
  }

  /**
   * Removes addresses from a namespace, and with the last address its interface.
   *
   * @returns the removed addresses, in CIDR notation
   * @throws WeaveError; a repetition then removes the rest
   */
  detach(request: Pick<NamespaceRequest, "ident" | "netns" | "wanted" | "signal">): Promise<readonly string[]> {
    const { ident, netns, wanted } = request;
    return this.#transaction(keyOf(netns), releaseTurn(request), ident, async () => {
      const addresses = this.#leases.held(ident, wanted);
      await detachNamespace(netns, addresses);
      this.#release(ident, addresses);
      return addresses;
    });
  }

  /** Like {@link attach}, for the host itself. */
  expose(request: HostRequest): Promise<readonly string[]> {
    const { exposure, connectedHosts } = this.#deps;
    return this.#transaction(EXPOSED, request, EXPOSED, async (undo) => {
      const before = exposure.addresses;
      const addresses = await this.#leases.obtain(leaseRequest(request, EXPOSED, false), before, undo);
      for (const cidr of addresses) {
        if (!before.includes(cidr)) undo.add(`exposed ${cidr}`, () => exposure.hide(parseCidr(cidr)));
        await exposure.expose(parseCidr(cidr), request.masquerade, connectedHosts()).catch(throwExposeError);
      }
      this.#register(EXPOSED, request.name, addresses, undo);
      return addresses;
    });
  }

  /** Like {@link detach}, for the host itself. */
  hide(request: Pick<HostRequest, "wanted" | "signal">): Promise<readonly string[]> {
    return this.#transaction(EXPOSED, releaseTurn(request), EXPOSED, async () => {
      const addresses = this.#leases.held(EXPOSED, request.wanted);
      for (const cidr of addresses) await this.#deps.exposure.hide(parseCidr(cidr));
      this.#release(EXPOSED, addresses);
      return addresses;
    });
  }

  /** Runs `work` after earlier requests with the same key; undoes its steps when it fails. @throws WEAVE_IPAM_WAIT after `timeoutMs` */
  #transaction(
    key: string,
    { signal, timeoutMs }: Pick<AddressRequest, "signal" | "timeoutMs">,
    ident: string,
    work: (undo: Resources) => Promise<readonly string[]>,
  ): Promise<readonly string[]> {
    const task = async () => {
      const undo = new Resources(this.#deps.log, UNDO_MS);
      try {
        return await this.#deps.busy.run(ident, () => work(undo));
      } catch (error) {
        await undo.release();
        throw error;
      }
    };
    if (timeoutMs === undefined) return this.#queue.run(key, task, signal, () => cancelled(ident));
    const turnMs = Math.max(timeoutMs, MIN_TURN_MS);
    const refused = () => (signal.aborted ? cancelled(ident) : notInTime(ident, turnMs));
    return withTimeLimit(turnMs, signal, (limited) => this.#queue.run(key, task, limited, refused));
  }

  #writeHostsFile(request: NamespaceRequest, addresses: readonly string[], undo: Resources): void {
    const { hostsFile, hostsFileRequired, ident } = request;
    if (hostsFile === undefined) return;
    try {
      const before = readHostsFile(hostsFile.path);
      if (before !== undefined) undo.add("hosts file", () => writeFileSync(hostsFile.path, before));
      writeHostsFile(hostsFile, addresses);
    } catch (error) {
      if (hostsFileRequired) throw error;
      this.#deps.log.warn("/etc/hosts of a container was not rewritten", { container: ident, why: errorText(error) });
    }
  }

  async #makeInterface(
    { ident, netns, multicastRoute }: NamespaceRequest,
    addresses: readonly string[],
    present: readonly string[],
    undo: Resources,
  ): Promise<void> {
    checkExists(netns);
    const added = addresses.filter((cidr) => !present.includes(cidr));
    // Registered before the step, because a step that fails midway leaves some of the addresses.
    undo.add("interface", () => detachNamespace(netns, added));
    await attachNamespace(netns, { ...this.#options, addresses, multicastRoute });
    this.#deps.log.info("a namespace is on the network", { holder: ident.slice(0, 12), addresses });
  }

  #register(ident: string, name: AttachmentName | undefined, addresses: readonly string[], undo: Resources): void {
    if (name !== undefined) this.#names.register({ ...name, ident: name.ident ?? ident }, addresses, undo);
  }

  #release(ident: string, addresses: readonly string[]): void {
    this.#names.unregister(ident, addresses);
    this.#leases.release(ident, addresses);
  }
}

const releaseTurn = ({ signal }: Pick<AddressRequest, "signal">) => ({ signal, timeoutMs: RELEASE_TURN_MS });

const notInTime = (ident: string, ms: number): WeaveError =>
  new WeaveError("WEAVE_IPAM_WAIT", `${ident}: after ${ms / 1_000} s another request for it is still in progress`, {
    next: "It may wait for an address: 'weave status ipam' shows more. A client that ends gives up its request.",
  });

const keyOf = ({ inode }: Netns): string => `netns ${inode}`;

const leaseRequest = (request: AddressRequest, ident: string, isContainer: boolean): LeaseRequest => ({
  ident,
  isContainer,
  wanted: request.wanted,
  timeoutMs: request.timeoutMs,
  signal: request.signal,
  warn: request.warn ?? (() => {}),
  claimPrefix: request.claimPrefix ?? "",
});

/** The addresses of an earlier attachment of a namespace, in CIDR notation. @throws when its process has ended */
async function addressesIn(netns: Netns, pid: number | undefined): Promise<readonly string[]> {
  if (pid !== undefined) return networkFiles(pid).addressesOf(CONTAINER_IFNAME) ?? [];
  return (await inspectNamespace(netns))?.addresses ?? [];
}

/** Process name of the program that containers of the proxy start with (docker/wait). */
const WAIT_PROGRAM = "w";

/** Whether a container waits for the end of its attachment: an earlier attachment was interrupted after its addresses were set. */
function isWaiting(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/comm`, "utf8").trim() === WAIT_PROGRAM;
  } catch {
    return false;
  }
}

/** Checks that a path still is the same namespace: its process id may have been reused meanwhile. @throws WEAVE_NAMESPACE */
function checkExists(netns: Netns): void {
  if (!isNetnsCurrent(netns)) throw new WeaveError("WEAVE_NAMESPACE", `the network namespace ${netns.path} has ended`);
}
