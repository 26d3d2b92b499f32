import { fold } from "#dns/name.js";
import type { Nameserver } from "#dns/nameserver.js";
import { type Container, isIdOrStart } from "#docker/engine/shapes.js";
import type { Allocator } from "#ipam/allocator.js";
import { leaseText, parseAddress } from "#ipam/ring/subnet.js";
import type { InspectContainer } from "#router/attachments/attachment-target.js";
import { type ListedAttachment, listAttachments } from "#router/attachments/listing.js";
import { type EndpointFacts, MAX_ENDPOINTS, MAX_PROBE_TARGET } from "#router/probes/facts.js";
import type { Prober } from "#router/probes/prober.js";
import { NO_ROUND_TRIPS } from "#router/probes/round-trips.js";
import { addressOfCidr, isIpv4 } from "#src/address.js";
import type { Clock } from "#src/clock.js";
import { EXPOSED } from "#src/ident.js";
import { portState } from "#src/linux/links/port-state.js";
import { nameOfNetns } from "#src/linux/netns/inspect.js";
import { inodeOfIdent, isNetnsFile, namedNetns } from "#src/linux/netns/netns.js";
import { isMac } from "#src/mac.js";
import { SerialQueue } from "#src/serial-queue.js";
import { shortLine } from "#src/text.js";

/** The list of interfaces is used for so many times its own duration: whatever other hosts ask, it takes a quarter of a core at most. */
const LIST_PAUSE = 3;
/** Names and ids that other hosts may ask for: neither a path nor the number of a process, as those are no names on the network. */
const ASKABLE = /^(?!\d+$)[\w][\w.@-]{0,254}$/;
/** ARP probes for each interface that is found. */
const ARP_PROBES = { count: 3, waitMs: 300 };

export interface HostEndpointsDeps {
  readonly bridge: string;
  readonly prober: Pick<Prober, "arp">;
  /** Undefined when IPAM is off. */
  readonly allocator: Pick<Allocator, "requests" | "leases"> | undefined;
  /** Undefined when weaveDNS is off. */
  readonly names: Pick<Nameserver, "reverse" | "ownIdentsOf" | "domain"> | undefined;
  /** Undefined without Docker. */
  readonly inspect: InspectContainer | undefined;
  readonly clock: Clock;
}

/** Finds containers of this host, with the facts about their interfaces. */
export class HostEndpoints {
  readonly #deps: HostEndpointsDeps;
  /** One after another: each runs programs in namespaces. */
  readonly #queue = new SerialQueue();
  #listed: { readonly attachments: readonly ListedAttachment[]; readonly until: number } | undefined;

  constructor(deps: HostEndpointsDeps) {
    this.#deps = deps;
  }

  /**
   * @param what id, name, address or MAC
   * @param ownUser whether a user of this host asks, who may also name a namespace or a process
   */
  find(what: string, ownUser: boolean): Promise<EndpointFacts[]> {
    return this.#queue.run(async () => {
      const found = await this.#attachments(what, ownUser);
      const facts: EndpointFacts[] = [];
      for (const each of found.slice(0, MAX_ENDPOINTS)) facts.push(await this.#factsOf(each, what));
      if (facts.length > 0) return facts;
      const ended = await this.#ended(what, ownUser);
      return ended === undefined ? [] : [ended];
    });
  }

  async #attachments(what: string, ownUser: boolean): Promise<readonly ListedAttachment[]> {
    const { bridge, inspect, names } = this.#deps;
    if (ownUser && !isMac(what) && !isIpv4(what) && !ASKABLE.test(what))
      return (await listAttachments(bridge, [what], inspect)).attachments;
    const all = await this.#all();
    if (isMac(what)) return all.filter(({ mac }) => mac === what.toLowerCase());
    if (isIpv4(what)) return all.filter(({ addresses }) => addresses.some((cidr) => addressOfCidr(cidr) === what));
    if (!ASKABLE.test(what)) return [];
    const container = (await this.#inspect(what))?.Id;
    const named = names === undefined ? [] : names.ownIdentsOf(qualified(what, names.domain));
    const holders = [what, ...named, ...(container === undefined ? [] : [container])];
    // The list has a namespace by its name, if that is short.
    const ids = new Set(holders.flatMap((ident) => [ident, displayId(ident).replace(/^netns:/, "")]));
    return all.filter(({ id }) => ids.has(id) || isIdOrStart(what, id));
  }

  /** All interfaces on the bridge. */
  async #all(): Promise<readonly ListedAttachment[]> {
    const { bridge, clock } = this.#deps;
    if (this.#listed !== undefined && clock.now() < this.#listed.until) return this.#listed.attachments;
    const began = clock.now();
    const { attachments } = await listAttachments(bridge, [], undefined);
    const ended = clock.now();
    this.#listed = { attachments, until: ended + LIST_PAUSE * (ended - began) };
    return attachments;
  }

  async #factsOf(found: ListedAttachment, what: string): Promise<EndpointFacts> {
    const { id, mac, addresses, port = "", up = true, mtu = 0 } = found;
    const container = id === EXPOSED ? undefined : await this.#inspect(id);
    const { state, isolated } = port === "" ? { state: "", isolated: false } : portState(port);
    const plain = addresses.map(addressOfCidr);
    const probed = plain.includes(what) ? what : plain[0];
    // The kernel answers no ARP for an address of the bridge itself that arrives from the bridge.
    const arp =
      probed === undefined || id === EXPOSED ? NO_ROUND_TRIPS : await this.#deps.prober.arp(probed, mac, ARP_PROBES);
    return {
      ...{ id: shown(displayId(id)), name: this.#nameOf(container, addresses) },
      state: container?.State.Paused ? "paused" : "running",
      ...{ mac, addresses: addresses.slice(0, 16), port, portState: state, isolated, up, mtu },
      arp: { sent: arp.sent, times: [...arp.times] },
    };
  }

  /** A container that has ended: Docker still knows it, or its address is still kept for it. */
  async #ended(what: string, ownUser: boolean): Promise<EndpointFacts | undefined> {
    const { allocator } = this.#deps;
    const isAddress = isIpv4(what);
    // Of those that have ended, too.
    const holder = isAddress ? allocator?.leases.holderOf(parseAddress(what))?.ident : undefined;
    const ident = holder ?? (!isAddress && ASKABLE.test(what) ? what : undefined);
    if (ident === undefined || ident === EXPOSED) return undefined;
    const container = await this.#inspect(ident);
    const id = container?.Id ?? ident;
    const leases = allocator?.leases.get(id)?.leases.map(leaseText) ?? [];
    // Containers that have no address on the overlay are no concern of other hosts.
    if (leases.length === 0 && (container === undefined || !ownUser)) return undefined;
    return {
      ...{ id: shown(displayId(id)), name: this.#nameOf(container, leases) },
      state: container?.State.Running ? "running" : "ended",
      ...{ mac: "", addresses: leases.slice(0, 16), port: "", portState: "", isolated: false, up: false, mtu: 0 },
      arp: { sent: 0, times: [] },
    };
  }

  /** Docker's name of a container, else that of its address in weaveDNS. */
  #nameOf(container: Container | undefined, [cidr]: readonly string[]): string {
    const named = cidr === undefined ? undefined : this.#deps.names?.reverse(addressOfCidr(cidr));
    return shown(container?.Name.replace(/^\//, "") || named?.replace(/\.$/, "") || "");
  }

  /** Undefined for a name that no container has, and when the engine does not answer. */
  async #inspect(text: string): Promise<Container | undefined> {
    const { inspect } = this.#deps;
    if (inspect === undefined || !ASKABLE.test(text)) return undefined;
    return inspect(text).catch(() => undefined);
  }
}

/** The folded name in the domain: `web1` is `web1.weave.local.` */
export function qualified(name: string, domain: string): string {
  const folded = fold(name.endsWith(".") ? name : `${name}.`);
  return folded.endsWith(`.${domain}`) ? folded : `${folded}${domain}`;
}

/** A namespace by its name, where it has one, in the form that commands accept. */
function displayId(id: string): string {
  if (isNetnsFile(namedNetns(id))) return `netns:${id}`;
  const inode = inodeOfIdent(id);
  const name = inode === undefined ? undefined : nameOfNetns(inode);
  return name === undefined ? id : `netns:${name}`;
}

const shown = (text: string): string => shortLine(text, MAX_PROBE_TARGET);
