import { setTimeout as sleep } from "node:timers/promises";
import { CLAIM_FORMAT, type ClaimFields, claimOf, compareClaims } from "#docker/addresses/claim-record.js";
import type { GossipChannel, Gossiper } from "#mesh/gossip.js";
import type { KnownPeers, PeerName } from "#mesh/peer.js";
import { RecordIndex } from "#mesh/replica/record-index.js";
import { Replica, type ReplicaDeps } from "#mesh/replica/replica.js";
import { SET_BYTES } from "#mesh/replica/replicas.js";
import { WeaveError } from "#src/errors.js";
import { compareText } from "#src/text.js";

/** Name of the gossip channel that carries claims. */
export const CLAIMS_CHANNEL = "claims";
/** Wait before a claim is checked again, in which two hosts that claim at the same time learn of each other: twice the time of gossip over 5 slow links. */
const SETTLE_MS = 100;

export interface AddressClaimsDeps extends Omit<ReplicaDeps<ClaimFields>, "indexes" | "shareBytes"> {
  readonly self: PeerName;
  /** Counter that grows with each start of this peer. */
  readonly incarnation: number;
}

/**
 * Claims of addresses that Docker engines' own IPAM has chosen, replicated to all hosts: IPv4 addresses outside our range, and IPv6
 * addresses. Engines do not coordinate: each begins with the same address. Only the peer that made a claim changes it.
 */
export class AddressClaims {
  readonly #self: PeerName;
  readonly #peers: KnownPeers;
  readonly #byAddress = new RecordIndex<ClaimFields>(({ address }) => address);
  readonly #replica: Replica<ClaimFields>;

  /** @throws WEAVE_STORE when a stored claim is damaged */
  constructor(deps: AddressClaimsDeps) {
    this.#self = deps.self;
    this.#peers = deps.peers;
    this.#replica = new Replica({
      ...deps,
      format: CLAIM_FORMAT,
      storePrefix: "claims/own/",
      shareBytes: SET_BYTES.claims,
      indexes: [this.#byAddress],
    });
  }

  /** The receiving end of the channel. */
  get gossiper(): Gossiper {
    return this.#replica;
  }

  /** Sets the sending end of the channel, and gossips the claims of this host. */
  open(channel: GossipChannel): void {
    this.#replica.open(channel);
  }

  /**
   * Claims addresses for an endpoint: all or none. Of two hosts that claim one address at the same time, one is refused.
   *
   * @throws WEAVE_PLUGIN, with the name of the other host
   */
  async claim(addresses: readonly string[], endpoint: string): Promise<void> {
    for (const address of addresses) this.#refuseClaimed(address, this.#otherClaimants(address));
    try {
      for (const address of addresses) this.#add(address, endpoint);
      if (addresses.length === 0 || this.#peers.reachable().size === 0) return;
      await sleep(SETTLE_MS);
      // Both hosts may have refused each other: the one with the lower name keeps the address.
      for (const address of addresses)
        this.#refuseClaimed(
          address,
          this.#otherClaimants(address).filter((origin) => compareText(origin, this.#self) < 0),
        );
    } catch (error) {
      for (const address of addresses) this.release(address, endpoint);
      throw error;
    }
  }

  /** Records an address that an endpoint already has, also when another host claims it. @throws WEAVE_PLUGIN when there are too many */
  record(address: string, endpoint: string): void {
    this.#add(address, endpoint);
  }

  /** Removes the claim of an endpoint; without one it does nothing. */
  release(address: string, endpoint: string): void {
    this.#replica.remove((record) => record.ident === endpoint && record.address === address);
  }

  /** Addresses that more than one host claims, with these hosts: they were disconnected when they claimed. */
  get contested(): { address: string; peers: PeerName[] }[] {
    const holders = new Map<string, Set<PeerName>>();
    for (const { address, origin, tombstone } of [...this.#replica.all()].sort(compareClaims)) {
      if (tombstone !== 0) continue;
      if (!holders.has(address)) holders.set(address, new Set());
      holders.get(address)!.add(origin);
    }
    return [...holders]
      .filter(([, peers]) => peers.size > 1)
      .map(([address, peers]) => ({ address, peers: [...peers].sort() }));
  }

  stop(): void {
    this.#replica.stop();
  }

  #add(address: string, endpoint: string): void {
    if (!this.#replica.add(claimOf(address, endpoint)))
      throw new WeaveError("WEAVE_PLUGIN", `address ${address} cannot be recorded: too many are claimed already`);
  }

  /** Reachable peers that claim an address. */
  #otherClaimants(address: string): PeerName[] {
    const reachable = this.#peers.reachable();
    return [...this.#byAddress.get(address)]
      .map(({ origin }) => origin)
      .filter((origin) => origin !== this.#self && reachable.has(origin));
  }

  #refuseClaimed(address: string, [other]: readonly PeerName[]): void {
    if (other === undefined) return;
    throw new WeaveError(
      "WEAVE_PLUGIN",
      `address ${address} is in use on another host, ${other}(${this.#peers.nickname(other) ?? "?"}): each engine's own IPAM begins with the same addresses`,
      {
        next: address.includes(":")
          ? "Give each host its own part of the subnet ('docker network create --ipv6 --subnet fd00:90::/64 --ip-range fd00:90::1:0:0/96 …'), or the container its own --ip6."
          : "Let weave allocate ('docker network create --driver weave --ipam-driver weavemesh'), or give each host its own --ip-range; with the managed plugin the hosts can join one swarm.",
      },
    );
  }
}
