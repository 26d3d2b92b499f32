import type { PeerName } from "#mesh/peer.js";
import type { PeerTunnel } from "#router/carriers/fastdp/kernel-tunnel.js";
import type { Forwarding, PeerPath, TunnelName } from "#router/macs/forwarding.js";
import { type Clock, every, type Timer } from "#src/clock.js";
import { hostPortText } from "#src/net/host-port.js";

/**
 * For this time after a connection has ended frames go on by the kernel although the peer is reachable through others: a router that is
 * replaced connects again within seconds.
 */
export const RECONNECT_MS = 10_000;
/**
 * Time after a change of the network's secret in which a path ends with its connection: those of peers that the change excludes are
 * closed then.
 */
export const SECRET_CHANGE_MS = 10_000;
/** Time after which a connection without a path of the kernel has none: what an earlier process sent to the peer is not sent so any more. */
export const WITHOUT_PATH_MS = 5_000;
/** Interval at which the ends of connections are checked. */
const CHECK_MS = 1_000;

export interface PeerPathsDeps {
  readonly forwarding: Forwarding;
  readonly clock: Clock;
}

/** What a tunnel does for one peer. */
export interface TunnelEnd {
  /** Sets the MTU of our own link towards the peer, in bytes. */
  setMtu(linkMtu: number): void;
  /** The path to the peer has ended. */
  ended(): void;
}

/**
 * The peers to which a tunnel leads. A path outlives its connection while no other route leads to the peer: the kernels forward frames
 * without routers, and there is no better way.
 */
export class PeerPaths {
  readonly #deps: PeerPathsDeps;
  readonly #timer: Timer;
  readonly #peers = new Map<PeerName, PeerTunnel>();
  readonly #ended = new Map<PeerName, () => void>();
  #reachable: ReadonlySet<PeerName> = new Set();
  #isConnected: (peer: PeerName) => boolean = () => false;
  /** Peers with a connection and no path, and since when, while there are entries of an earlier process. */
  readonly #without = new Map<PeerName, number>();
  #secret: () => string | undefined = () => undefined;
  #lastSecret: string | undefined;
  #secretChangedAt = Number.NEGATIVE_INFINITY;
  /** Peers whose connection has ended, and since when they are reachable nevertheless. */
  readonly #released = new Map<PeerName, number | undefined>();

  constructor(deps: PeerPathsDeps) {
    this.#deps = deps;
    this.#timer = every(deps.clock, CHECK_MS, () => this.#check());
  }

  /** Whether a tunnel leads to a peer. */
  leadTo(peer: PeerName): boolean {
    return this.#peers.has(peer);
  }

  /**
   * Notes that a connection uses one tunnel or none: what an earlier connection or process sent to the peer in clear is not sent so any
   * more when it is encrypted.
   *
   * @param host the peer's address on the network between the hosts
   */
  begin(tunnel: TunnelName, peer: PeerName, host: string): void {
    if (tunnel === "clear") return;
    const { forwarding } = this.#deps;
    if (forwarding.pathTo(peer)?.tunnel === "clear") this.forget(peer);
    forwarding.dropInherited((entry, at) => entry.tunnel === "clear" && (entry.host === host || at === peer));
  }

  /** Follows the network's secret: a path whose connection has ended was proven with the earlier one. @param secret identifies it */
  followSecret(secret: () => string | undefined): void {
    this.#secret = secret;
    this.#lastSecret = secret();
  }

  /** Makes the tunnel lead to a peer. Frames that the tunnel carries already go on. */
  async connect(peer: PeerName, path: Omit<PeerPath, "carries">, { setMtu, ended }: TunnelEnd): Promise<PeerTunnel> {
    const { forwarding } = this.#deps;
    this.#released.delete(peer);
    const handle: PeerTunnel = {
      address: path.port === undefined ? path.host : hostPortText(path.host, path.port),
      setMtu,
      carry: (carries) => {
        if (this.#peers.get(peer) === handle) void forwarding.setPath(peer, { ...path, carries });
      },
      release: () => this.#release(peer, handle),
    };
    this.#peers.set(peer, handle);
    this.#ended.set(peer, ended);
    const carries = forwarding.pathTo(peer)?.carries ?? forwarding.hasInherited(path.tunnel, path.host);
    await forwarding.setPath(peer, { ...path, carries });
    return handle;
  }

  /**
   * Sets the peers that have a route now. A path that has outlived its connection ends when frames pass by a new one that does not use it.
   *
   * @param isConnected whether frames pass to a peer by a connection
   */
  setReachable(peers: ReadonlySet<PeerName>, isConnected: (peer: PeerName) => boolean): void {
    this.#reachable = peers;
    this.#isConnected = isConnected;
    for (const peer of this.#released.keys()) if (isConnected(peer)) this.forget(peer);
  }

  /** Ends the path to a peer that was unreachable for long. */
  forget(peer: PeerName): void {
    this.#released.delete(peer);
    if (!this.#peers.delete(peer)) return;
    void this.#deps.forwarding.setPath(peer, undefined);
    this.#ended.get(peer)?.();
    this.#ended.delete(peer);
  }

  stop(): void {
    this.#timer.cancel();
  }

  #release(peer: PeerName, handle: PeerTunnel): void {
    if (this.#peers.get(peer) !== handle) return;
    this.#checkSecret();
    const { forwarding, clock } = this.#deps;
    const outlives = clock.now() - this.#secretChangedAt >= SECRET_CHANGE_MS;
    if (outlives && forwarding.pathTo(peer)?.carries === true) this.#released.set(peer, undefined);
    else this.forget(peer);
  }

  #checkSecret(): void {
    const secret = this.#secret();
    if (secret === this.#lastSecret) return;
    this.#lastSecret = secret;
    this.#secretChangedAt = this.#deps.clock.now();
    for (const peer of [...this.#released.keys()]) this.forget(peer);
  }

  /** Drops the entries of an earlier process to the MACs of peers that are connected without a path. */
  #checkInherited(): void {
    const { forwarding, clock } = this.#deps;
    if (!forwarding.hasEarlier) return this.#without.clear();
    const now = clock.now();
    for (const peer of this.#reachable) {
      if (this.#peers.has(peer) || !this.#isConnected(peer)) this.#without.delete(peer);
      else if (!this.#without.has(peer)) this.#without.set(peer, now);
      else if (now - this.#without.get(peer)! >= WITHOUT_PATH_MS) forwarding.dropInherited((_, at) => at === peer);
    }
  }

  #check(): void {
    this.#checkSecret();
    this.#checkInherited();
    if (this.#released.size === 0) return;
    const now = this.#deps.clock.now();
    for (const [peer, since] of this.#released) {
      if (!this.#reachable.has(peer)) this.#released.set(peer, undefined);
      else if (since === undefined) this.#released.set(peer, now);
      else if (now - since >= RECONNECT_MS) this.forget(peer);
    }
  }
}
