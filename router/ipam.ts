import { Allocator, CHANNEL } from "#ipam/allocator.js";
import type { Init } from "#ipam/bootstrap.js";
import { parseLease, type Subnet } from "#ipam/subnet.js";
import type { Mesh } from "#mesh/mesh.js";
import type { PeerName } from "#mesh/peer.js";
import { PeerDirectory } from "#router/directory.js";
import { type IpamOptions, quorumOf } from "#router/ipam-options.js";
import { systemClock } from "#src/clock.js";
import { textOf } from "#src/errors.js";
import { outsideName } from "#src/host/attach.js";
import { attachedNamespaces, outsideNames } from "#src/host/attached.js";
import { inodeOfIdent, netnsIdent } from "#src/host/netns.js";
import type { Log } from "#src/log.js";
import { systemRandom } from "#src/random.js";
import type { Store } from "#src/store.js";

/** The holder of what `weave expose` gives to the host itself. */
export const EXPOSED = "weave:expose";
/** How often we look for namespaces that have ended. As often as the original looks after its containers. */
const WATCH_MS = 5_000;

/** Address allocation of a router: the allocator on the mesh, and the namespaces of this host as its containers. */
export class Ipam {
  readonly allocator: Allocator;
  readonly defaultSubnet: Subnet;
  readonly directory: PeerDirectory;
  readonly #log: Log;
  readonly #watch: NodeJS.Timeout;

  constructor(parts: { options: IpamOptions; self: PeerName; mesh: Mesh; store: Store; log: Log }) {
    const { options, self, mesh, store, log } = parts;
    this.#log = log;
    this.defaultSubnet = options.defaultSubnet;
    this.directory = new PeerDirectory(mesh, store);
    this.allocator = new Allocator({
      self,
      range: options.range,
      init: initOf(options, mesh),
      clock: systemClock,
      random: systemRandom,
      log,
      store,
      peers: this.directory,
    });
    this.allocator.open(mesh.channel(CHANNEL, this.allocator.gossiper));
    this.#watch = setInterval(() => void this.#lookForTheDead(), WATCH_MS).unref();
  }

  /**
   * Notes what is in use on this host: containers outlive the router, and its disk. What belongs to others is asked for.
   *
   * @param exposed in CIDR notation
   */
  async reclaim(exposed: readonly string[]): Promise<void> {
    const note = (ident: string, cidr: string, container: boolean) => {
      try {
        this.allocator.requests.found(ident, parseLease(cidr), container);
      } catch (error) {
        this.#log.warn("an address is in use twice on this host", { ident, address: cidr, why: textOf(error) });
      }
    };
    for (const cidr of exposed) note(EXPOSED, cidr, false);
    await this.#lookForTheDead();
    for (const { netns, addresses } of await attachedNamespaces())
      for (const cidr of addresses) note(netnsIdent(netns), cidr, true);
  }

  /** The router ends; what is held stays held. */
  stop(): void {
    clearInterval(this.#watch);
    this.allocator.stop();
  }

  /** A namespace that has ended took its interface with it. */
  async #lookForTheDead(): Promise<void> {
    const holders = [...this.allocator.holdings.all()].filter(({ ident }) => inodeOfIdent(ident) !== undefined);
    if (holders.length === 0) return;
    try {
      const present = await outsideNames();
      for (const { ident } of holders) {
        if (present.has(outsideName({ inode: inodeOfIdent(ident)! }))) this.allocator.requests.alive(ident);
        else this.allocator.requests.died(ident);
      }
    } catch (error) {
      this.#log.warn("cannot look which containers are still there", { why: textOf(error) });
    }
  }
}

function initOf({ init }: IpamOptions, mesh: Mesh): Init {
  if (init.mode !== "consensus") return init;
  const { count } = init;
  if (count > 0) return { mode: "consensus", quorum: () => Math.floor(count / 2) + 1 };
  return { mode: "consensus", quorum: () => quorumOf(mesh.status()) };
}
