import type { IpallocInit } from "#ipam/agreement/bootstrap.js";
import { Allocator } from "#ipam/allocator.js";
import { parseSubnet } from "#ipam/ring/subnet.js";
import type { PeerName } from "#mesh/peer.js";
import { WeaveError } from "#src/errors.js";
import { silentLog } from "#src/log.js";
import { memoryStore, type Store } from "#src/store.js";
import { GossipNetwork, PowerCut, SimNode } from "./gossip-network.js";

/** A disk whose host may lose power before or after a write. */
class Disk {
  contents = new Map<string, unknown>();
  full = false;
  /** Writes until the power goes, and whether the last one is still made. */
  cut: { writes: number; after: boolean } | undefined;

  open(alive: () => boolean, died: () => void): Store {
    const inner = memoryStore(this.contents);
    const write = (run: () => void): void => {
      if (!alive()) throw new PowerCut();
      if (this.full) throw new WeaveError("WEAVE_STORE", "the disk is full");
      const cut = this.cut;
      if (cut === undefined || --cut.writes > 0) return run();
      this.cut = undefined;
      if (cut.after) run();
      died();
      throw new PowerCut();
    };
    return {
      ...inner,
      put: (key, value) => write(() => inner.put(key, value)),
      remove: (key) => write(() => inner.remove(key)),
    };
  }
}

/** A host: containers that hold addresses, a disk, and a router process that may be running. */
export class SimHost extends SimNode {
  readonly disk = new Disk();
  /** Running containers and their addresses. They keep running when the router dies. */
  readonly containers = new Map<string, Set<bigint>>();
  init: IpallocInit;
  range: string;
  allocator: Allocator | undefined;

  constructor(index: number, init: IpallocInit, range: string) {
    super(index);
    this.init = init;
    this.range = range;
  }
}

/** Allocators on a simulated network. */
export class IpamNetwork extends GossipNetwork<SimHost> {
  /** Peers that are excluded from the network. */
  readonly excluded = new Set<PeerName>();
  /** Peers whose identity is not known yet. */
  readonly unknown = new Set<string>();

  add(init: IpallocInit, range = "10.32.0.0/24"): SimHost {
    const host = new SimHost(this.hosts.length, init, range);
    this.hosts.push(host);
    return host;
  }

  /** Starts the router of a host. */
  start(host: SimHost): Allocator {
    const life = ++host.life;
    const pinnedIdentity = (peer: PeerName) => this.hosts.find(({ name }) => name === peer)?.signer.identity;
    const allocator = new Allocator({
      self: host.name,
      range: parseSubnet(host.range),
      init: host.init,
      clock: {
        now: () => this.clock.now(),
        wall: () => this.clock.wall(),
        after: (ms, run) =>
          this.clock.after(ms, () => {
            if (host.life === life) this.guarded(host, run);
          }),
      },
      random: this.random,
      log: silentLog,
      signer: host.signer,
      store: host.disk.open(
        () => host.life === life,
        () => this.kill(host),
      ),
      peers: {
        reachable: () => host.view,
        nickname: (peer) => `h${Number.parseInt(peer.slice(-5).replace(":", ""), 16)}`,
        identity: (peer) => (this.excluded.has(peer) || this.unknown.has(peer) ? undefined : pinnedIdentity(peer)),
        pinnedIdentity: (peer) => (this.unknown.has(peer) ? undefined : pinnedIdentity(peer)),
      },
    });
    host.allocator = allocator;
    host.gossiper = allocator.gossiper;
    this.guarded(host, () => allocator.open(this.channel(host)));
    this.began(host);
    return allocator;
  }

  /** A host without a router of ours begins to take part. */
  join(host: SimHost): void {
    this.began(host);
  }

  /** A hostile host sends a message, half of the time in another one's name, as a relay can. */
  lie(from: SimHost, to: SimHost, payload: Uint8Array): void {
    const claimed = this.random.below(2) === 0 ? from : this.hosts[this.random.below(this.hosts.length)];
    this.forge(from, to, payload, claimed.name);
  }

  /** Ends the router of a host abruptly. Its containers keep running. */
  override kill(host: SimHost): void {
    host.allocator = undefined;
    host.disk.cut = undefined;
    super.kill(host);
  }
}
