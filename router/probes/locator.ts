import { fold } from "#dns/name.js";
import type { NameRecord } from "#dns/name-record.js";
import type { Nameserver } from "#dns/nameserver.js";
import { isIdOrStart } from "#docker/engine/shapes.js";
import type { Allocator } from "#ipam/allocator.js";
import { contains } from "#ipam/ring/interval.js";
import { parseAddress } from "#ipam/ring/subnet.js";
import type { Mesh } from "#mesh/mesh.js";
import type { PeerName } from "#mesh/peer.js";
import type { Macs } from "#router/macs/macs.js";
import type { PeerDirectory } from "#router/peers/peer-directory.js";
import { nameOneOf, peersCalled } from "#router/peers/peers-called.js";
import {
  type EndpointFacts,
  type FactsFor,
  MAX_PROBE_TARGET,
  type PeerOrNone,
  type ProbeQuestion,
} from "#router/probes/facts.js";
import { qualified } from "#router/probes/host-endpoints.js";
import type { Prober } from "#router/probes/prober.js";
import type { Reply } from "#router/probes/questions.js";
import { addressOfCidr, isIpv4 } from "#src/address.js";
import { isMac, type MacText } from "#src/mac.js";
import { nearest } from "#src/nearest.js";
import { Semaphore } from "#src/semaphore.js";

/** ARP probes to all, for an address: the first may be lost. */
const WHO_HAS = { count: 2, waitMs: 400 };
/** Hosts that are asked for an address, and for a name that weaveDNS does not have; those that are asked at the same time. */
const MAX_HOLDERS = 4;
const MAX_ASKED = 32;
const CONCURRENCY = 8;
/** Names that are compared with one that is unknown. */
const MAX_CANDIDATES = 2_000;

/** A MAC that answers for an address, and its host. */
export interface AddressClaimant {
  readonly mac: MacText;
  readonly peer: PeerOrNone;
}

/** Where something is. */
export interface Located {
  /** As typed. */
  readonly text: string;
  readonly kind: "peer" | "container";
  /** The peer, or the host of the container. */
  readonly peer: PeerName;
  /** The address that is probed; "" for a peer, and for a container without one. */
  readonly address: string;
  readonly mac: PeerOrNone;
  /** Null for a peer, and when its host gave no facts: `silent` has the reason. */
  readonly endpoint: EndpointFacts | null;
  readonly silent: string;
  /** Further addresses that the name has. */
  readonly others: readonly string[];
  /** The MACs that answer for the address. */
  readonly claimants: readonly AddressClaimant[];
}

/** Why nothing was found, and what helps. */
export interface NotLocated {
  readonly text: string;
  readonly why: string;
  readonly next: string;
}

/** Asks a router of the network, this one as well. */
export type AskRouter = <Q extends ProbeQuestion>(peer: PeerName, question: Q) => Promise<Reply<FactsFor<Q>>>;

export interface LocatorDeps {
  readonly self: PeerName;
  readonly mesh: Pick<Mesh, "status" | "peer">;
  readonly directory: Pick<PeerDirectory, "isKnown" | "nickname">;
  readonly macs: Pick<Macs, "at">;
  readonly prober: Pick<Prober, "arp">;
  /** Undefined when IPAM is off. */
  readonly allocator: Pick<Allocator, "range" | "ring"> | undefined;
  /** Undefined when weaveDNS is off. */
  readonly names: Pick<Nameserver, "records" | "domain" | "isUnreachable"> | undefined;
  readonly ask: AskRouter;
}

/** Finds the host of a peer, container, address or MAC: from what all hosts know already, from ARP, and from the hosts themselves. */
export class Locator {
  readonly #deps: LocatorDeps;

  constructor(deps: LocatorDeps) {
    this.#deps = deps;
  }

  async locate(text: string): Promise<Located | NotLocated> {
    const { peers, suspended } = this.#deps.mesh.status();
    const reachable = peersCalled(text, peers);
    // A host that was installed again has the nickname of its former self, which is away.
    const called = reachable.length > 0 ? reachable : peersCalled(text, suspended);
    if (called.length > 1)
      return { text, why: `${called.length} peers have the nickname ${text}`, next: nameOneOf(called) };
    if (called.length === 1) return located(text, called[0].name, { kind: "peer" });
    const bare = addressOfCidr(text);
    if (isIpv4(bare)) return this.#address(text, bare);
    if (isMac(text)) return this.#mac(text);
    return this.#name(text);
  }

  async #address(text: string, address: string): Promise<Located | NotLocated> {
    const [own, { macs }] = await Promise.all([
      this.#endpoints(this.#deps.self, address),
      this.#deps.prober.arp(address, undefined, WHO_HAS),
    ]);
    const claimants = macs.map((mac): AddressClaimant => ({ mac, peer: this.#hostOf(mac) }));
    const here = "found" in own ? own.found.find(({ mac }) => mac !== "") : undefined;
    if (here !== undefined) return located(text, this.#deps.self, { endpoint: here, address, claimants });
    const holders = this.#holdersOf(address, claimants);
    let silent: Located | undefined;
    for (const peer of holders) {
      const reply = peer === this.#deps.self ? own : await this.#endpoints(peer, address);
      if ("silent" in reply) silent ??= located(text, peer, { address, claimants, silent: reply.silent });
      else if (reply.found.length > 0) return located(text, peer, { endpoint: reply.found[0], address, claimants });
    }
    if (silent !== undefined) return silent;
    const [claimant] = claimants;
    if (claimant !== undefined && claimant.peer !== "")
      return located(text, claimant.peer, { address, claimants, silent: "does not know the address" });
    return this.#noAddress(text, address, claimants);
  }

  /** The hosts that may have an address: by the MACs that answer, by weaveDNS, by IPAM. */
  #holdersOf(address: string, claimants: readonly AddressClaimant[]): PeerName[] {
    const named = this.#records((record) => record.address === address).map(({ origin }) => origin);
    const holders = [...claimants.map(({ peer }) => peer), ...named, this.#ownerOf(address) ?? ""];
    return [...new Set(holders)].filter((peer) => peer !== "").slice(0, MAX_HOLDERS);
  }

  #ownerOf(address: string): PeerName | undefined {
    const { allocator } = this.#deps;
    const number = parseAddress(address);
    if (allocator?.ring === undefined || !contains(allocator.range, number)) return undefined;
    return allocator.ring.at(number).value.owner;
  }

  #noAddress(text: string, address: string, claimants: readonly AddressClaimant[]): NotLocated {
    const { allocator, directory } = this.#deps;
    if (claimants.length > 0)
      return {
        text,
        why: `${claimants[0].mac} answers for ${address}, but no host has announced that MAC`,
        next: "Try again in some seconds; 'weave status' names hosts with more MACs than their share.",
      };
    const owner = this.#ownerOf(address);
    if (owner === undefined)
      return {
        text,
        why: `nothing answers for ${address}${allocator === undefined ? "" : `, which is outside of the range ${allocator.range.text} of this network`}`,
        next: "'weave ps' on the container's host shows its addresses; 'weave status ipam' shows the range.",
      };
    return {
      text,
      why: `nothing answers for ${address}, and ${directory.nickname(owner) || owner}, to whose part of the range it belongs, has no container with it`,
      next: `The container may have ended: 'weave ps' on its host lists the addresses; 'weave ipam explain ${address}' shows the owner's history.`,
    };
  }

  async #mac(text: string): Promise<Located | NotLocated> {
    const mac = text.toLowerCase();
    const peer = this.#hostOf(mac);
    if (peer === "")
      return {
        text,
        why: `no host of the network announces the MAC ${mac}`,
        next: "A container is announced when it sends its first frame; give its name or address instead.",
      };
    const reply = await this.#endpoints(peer, mac);
    const endpoint = "found" in reply ? reply.found[0] : undefined;
    const silent = "silent" in reply ? reply.silent : endpoint === undefined ? "has no interface with the MAC now" : "";
    return located(text, peer, { endpoint, mac, silent });
  }

  async #name(text: string): Promise<Located | NotLocated> {
    const { self, directory, names, mesh } = this.#deps;
    const own = await this.#endpoints(self, text);
    if ("found" in own && own.found.length > 0) return located(text, self, { endpoint: own.found[0] });
    const name = names === undefined ? undefined : qualified(text, names.domain);
    const records = this.#records(({ hostname, ident }) => fold(hostname) === name || isIdOrStart(text, ident));
    if (records.length > 0) return this.#named(text, records);
    if (directory.isKnown(text))
      return {
        text,
        why: `the peer ${text} has been away for more than 15 minutes`,
        next: "'weave status connections' shows attempts to reach it; 'weave status' on that host, whether it runs.",
      };
    const others = mesh
      .status()
      .peers.map((peer) => peer.name)
      .filter((peer) => peer !== self);
    return (await this.#askAll(text, others)) ?? this.#noName(text);
  }

  /** Something with a name in weaveDNS: at a reachable peer, if there is one. */
  async #named(text: string, records: readonly NameRecord[]): Promise<Located | NotLocated> {
    const { names } = this.#deps;
    const near = records.filter(({ origin }) => names?.isUnreachable(origin) === false);
    const usable = near.length > 0 ? near : records;
    const [{ address, origin }] = usable;
    const others = [...new Set(usable.map((record) => record.address))].filter((other) => other !== address);
    const reply = await this.#endpoints(origin, address);
    if ("silent" in reply) return located(text, origin, { address, others, silent: reply.silent });
    const [endpoint] = reply.found;
    if (endpoint !== undefined) return located(text, origin, { endpoint, address, others });
    const elsewhere = await this.#address(text, address);
    if (!("why" in elsewhere)) return { ...elsewhere, others };
    return { ...elsewhere, why: `${text} is a name of ${address}: ${elsewhere.why}` };
  }

  /** Asks other hosts for a name that weaveDNS does not have: it may be off, or the container have none. */
  async #askAll(text: string, peers: readonly PeerName[]): Promise<Located | undefined> {
    if (text.length > MAX_PROBE_TARGET) return undefined;
    const room = new Semaphore(CONCURRENCY);
    const replies = await Promise.all(
      peers.slice(0, MAX_ASKED).map(async (peer) => ({ peer, ...(await room.run(() => this.#endpoints(peer, text))) })),
    );
    for (const { peer, ...reply } of replies)
      if ("found" in reply && reply.found.length > 0) return located(text, peer, { endpoint: reply.found[0] });
    return undefined;
  }

  #noName(text: string): NotLocated {
    const { mesh } = this.#deps;
    const { peers, suspended } = mesh.status();
    const labels = this.#records(() => true)
      .slice(0, MAX_CANDIDATES)
      .map(({ hostname }) => hostname.split(".")[0]);
    const near = nearest(text, [...[...peers, ...suspended].map(({ nickname }) => nickname), ...labels]);
    const hint = near === undefined ? "" : `; did you mean ${near}?`;
    return {
      text,
      why: `no peer and no container of this network is called ${text}${hint}`,
      next: "'weave status dns' lists names, 'weave status peers' the peers. A container without a name is found by its id or address.",
    };
  }

  async #endpoints(
    peer: PeerName,
    what: string,
  ): Promise<{ readonly found: readonly EndpointFacts[] } | { readonly silent: string }> {
    const { self, mesh } = this.#deps;
    if (peer !== self && !mesh.status().peers.some(({ name }) => name === peer)) return { silent: "is not reachable" };
    const reply = await this.#deps.ask(peer, { ask: "endpoints", what });
    return "silent" in reply ? reply : { found: reply.facts.endpoints };
  }

  /** The host of a MAC: one that announces it, or whose bridge it is. */
  #hostOf(mac: MacText): PeerOrNone {
    const { macs, mesh } = this.#deps;
    return macs.at(mac) ?? (mesh.peer(mac) === undefined ? "" : mac);
  }

  #records(matches: (record: NameRecord) => boolean): NameRecord[] {
    return (this.#deps.names?.records ?? []).filter((record) => record.tombstone === 0 && matches(record));
  }
}

/** A place, with what is known of it. The address is the wanted one, or the first. */
function located(
  text: string,
  peer: PeerName,
  known: Partial<Omit<Located, "endpoint">> & { readonly endpoint?: EndpointFacts | undefined },
): Located {
  const { kind = "container", endpoint, claimants = [], silent = "", others = [] } = known;
  const address = known.address ?? (endpoint === undefined ? "" : addressOfCidr(endpoint.addresses[0] ?? ""));
  const mac = endpoint?.mac || known.mac || claimants[0]?.mac || "";
  return { text, kind, peer, address, mac, endpoint: endpoint ?? null, silent, others, claimants };
}
