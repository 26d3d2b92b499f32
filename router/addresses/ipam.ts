import { isContainerId } from "#docker/engine/shapes.js";
import type { IpallocInit } from "#ipam/agreement/bootstrap.js";
import { Allocator, IPAM_CHANNEL } from "#ipam/allocator.js";
import { contains } from "#ipam/ring/interval.js";
import { parseLease, type Subnet } from "#ipam/ring/subnet.js";
import type { Mesh } from "#mesh/mesh.js";
import type { PeerName } from "#mesh/peer.js";
import type { Signer } from "#mesh/signing.js";
import { LingeringAddresses } from "#router/addresses/lingering-addresses.js";
import { type IpamOptions, quorumOf } from "#router/addresses/options.js";
import type { PeerDirectory } from "#router/peers/peer-directory.js";
import { addressOfCidr } from "#src/address.js";
import { systemClock } from "#src/clock.js";
import type { ContainerLifecycle } from "#src/container-lifecycle.js";
import { errorText } from "#src/errors.js";
import { EXPOSED } from "#src/ident.js";
import { attachedNamespaces } from "#src/linux/netns/inspect.js";
import { type Netns, netnsIdent } from "#src/linux/netns/netns.js";
import type { Log } from "#src/log.js";
import { systemRandom } from "#src/random.js";
import type { Store } from "#src/store.js";

export interface IpamDeps {
  readonly options: IpamOptions;
  readonly self: PeerName;
  readonly signer: Signer;
  readonly mesh: Mesh;
  readonly directory: PeerDirectory;
  readonly store: Store;
  readonly log: Log;
}

/** Address allocation of a router: connects the allocator to the mesh and to the containers of this host. */
export class Ipam implements ContainerLifecycle {
  readonly allocator: Allocator;
  readonly defaultSubnet: Subnet;
  readonly directory: PeerDirectory;
  readonly #lingering: LingeringAddresses;
  readonly #log: Log;

  constructor({ options, self, signer, mesh, directory, store, log }: IpamDeps) {
    this.#log = log;
    this.defaultSubnet = options.defaultSubnet;
    this.directory = directory;
    this.allocator = new Allocator({
      self,
      range: options.range,
      init: initOf(options, mesh),
      clock: systemClock,
      random: systemRandom,
      log,
      store,
      signer,
      peers: directory,
      time: () => mesh.time(),
    });
    const { requests, leases } = this.allocator;
    this.#lingering = new LingeringAddresses({ requests, leases, log });
    this.allocator.open(mesh.channel(IPAM_CHANNEL, this.allocator.gossiper));
  }

  /**
   * Records the addresses that containers of this host use. Containers and their addresses survive the router, even if its
   * database is lost. Addresses that other peers own are requested from these peers.
   *
   * @param exposed exposed addresses of the host, in CIDR notation
   * @param docker true: containers are identified by Docker's ids
   */
  async reclaim(exposed: readonly string[], docker: boolean): Promise<void> {
    const { requests } = this.allocator;
    const note = (ident: string, cidr: string, container: boolean) => {
      try {
        requests.found(ident, parseLease(cidr), container);
      } catch (error) {
        this.#log.warn("two containers of this host have the same address", {
          ident,
          address: cidr,
          why: errorText(error),
        });
      }
    };
    for (const cidr of exposed) note(EXPOSED, cidr, false);
    /** The namespace of each address. */
    const found = new Map<string, Netns>();
    for (const { netns, container, addresses, cniIdent } of await attachedNamespaces()) {
      const ident = cniIdent ?? (docker && container ? container : netnsIdent(netns));
      for (const cidr of addresses) {
        // Another IPAM plugin has assigned it.
        if (cniIdent !== undefined && !contains(this.allocator.range, parseLease(cidr).address)) continue;
        const address = addressOfCidr(cidr);
        const holder = requests.holderOf(parseLease(cidr).address);
        // Containers may share a namespace, but it is found under the id of only one of them. The holder may also have ended.
        const shared = holder !== undefined && holder !== ident && isContainerId(holder) && !found.has(address);
        if (shared) this.#lingering.found(holder, netns);
        else note(ident, cidr, true);
        found.set(address, netns);
      }
    }
  }

  /** The namespace that had a container's addresses when it started: see {@link LingeringAddresses.takePreviousNetns}. */
  takePreviousNetns(ident: string): Netns | undefined {
    return this.#lingering.takePreviousNetns(ident);
  }

  /** The holders of all addresses. */
  idents(): Iterable<string> {
    return [...this.allocator.leases.all()].map(({ ident }) => ident);
  }

  containerEnded(ident: string): void {
    // A holder that is a namespace ends with its interface. A container's addresses may remain in a namespace that it shared.
    if (isContainerId(ident)) this.#lingering.containerEnded(ident);
    else this.allocator.requests.scheduleRelease(ident);
  }

  containerRuns(ident: string): void {
    this.#lingering.containerRuns(ident);
    this.allocator.requests.cancelRelease(ident);
  }

  look(): Promise<void> {
    return this.#lingering.look();
  }

  /** Stops address allocation. Leases stay stored. */
  stop(): void {
    this.#lingering.stop();
    this.allocator.stop();
  }
}

function initOf({ init }: IpamOptions, mesh: Mesh): IpallocInit {
  if (init.mode !== "consensus") return init;
  const { count } = init;
  if (count > 0) return { mode: "consensus", quorum: () => Math.floor(count / 2) + 1 };
  return { mode: "consensus", quorum: () => quorumOf(mesh.status()) };
}
