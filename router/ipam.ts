import { Allocator, CHANNEL } from "#ipam/allocator.js";
import type { Init } from "#ipam/bootstrap.js";
import { parseLease, type Subnet } from "#ipam/subnet.js";
import type { Mesh } from "#mesh/mesh.js";
import type { PeerName } from "#mesh/peer.js";
import type { PeerDirectory } from "#router/directory.js";
import { type IpamOptions, quorumOf } from "#router/ipam-options.js";
import { systemClock } from "#src/clock.js";
import { textOf } from "#src/errors.js";
import type { Holder } from "#src/holder.js";
import { attachedNamespaces } from "#src/host/attached.js";
import { netnsIdent } from "#src/host/netns.js";
import { EXPOSED } from "#src/ident.js";
import type { Log } from "#src/log.js";
import { systemRandom } from "#src/random.js";
import type { Store } from "#src/store.js";

/** Address allocation of a router: the allocator on the mesh, and the namespaces of this host as its containers. */
export class Ipam implements Holder {
  readonly allocator: Allocator;
  readonly defaultSubnet: Subnet;
  readonly directory: PeerDirectory;
  readonly #log: Log;

  constructor(parts: {
    options: IpamOptions;
    self: PeerName;
    mesh: Mesh;
    directory: PeerDirectory;
    store: Store;
    log: Log;
  }) {
    const { options, self, mesh, directory, store, log } = parts;
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
      peers: this.directory,
      time: () => mesh.time(),
    });
    this.allocator.open(mesh.channel(CHANNEL, this.allocator.gossiper));
  }

  /**
   * Notes what is in use on this host: containers outlive the router, and its disk. What belongs to others is asked for.
   *
   * @param exposed in CIDR notation
   * @param docker whether containers are known by Docker's ids
   */
  async reclaim(exposed: readonly string[], docker: boolean): Promise<void> {
    const note = (ident: string, cidr: string, container: boolean) => {
      try {
        this.allocator.requests.found(ident, parseLease(cidr), container);
      } catch (error) {
        this.#log.warn("an address is in use twice on this host", { ident, address: cidr, why: textOf(error) });
      }
    };
    for (const cidr of exposed) note(EXPOSED, cidr, false);
    for (const { netns, container, addresses } of await attachedNamespaces())
      for (const cidr of addresses) note(docker && container ? container : netnsIdent(netns), cidr, true);
  }

  /** For the watch: whose addresses end with them. */
  idents(): Iterable<string> {
    return [...this.allocator.holdings.all()].map(({ ident }) => ident);
  }

  died(ident: string): void {
    this.allocator.requests.died(ident);
  }

  alive(ident: string): void {
    this.allocator.requests.alive(ident);
  }

  /** The router ends; what is held stays held. */
  stop(): void {
    this.allocator.stop();
  }
}

function initOf({ init }: IpamOptions, mesh: Mesh): Init {
  if (init.mode !== "consensus") return init;
  const { count } = init;
  if (count > 0) return { mode: "consensus", quorum: () => Math.floor(count / 2) + 1 };
  return { mode: "consensus", quorum: () => quorumOf(mesh.status()) };
}
