import type { PeerLink, PeerName, PeerRecord } from "#mesh/peer.js";
import { isRemoteAddress } from "#src/net/family.js";
import { hostOf, hostPortText, parseHostPort } from "#src/net/host-port.js";

/** Maximum number of discovered addresses; a large network has a few hundred. */
export const MAX_DISCOVERED = 1_024;
/** Maximum number of addresses whose reports are counted: only a hostile peer reports more. */
const CONSIDERED = 16 * MAX_DISCOVERED;

/**
 * Whether an address that another peer reports may be dialled: an address with a port, and no name, that another host can have. A
 * report must not make this peer connect to services of its own host, or to the metadata service of its cloud.
 */
function isDialable(address: string): boolean {
  const { host = "", port } = parseHostPort(address) ?? {};
  return port !== undefined && isRemoteAddress(host);
}

export interface DiscoveryOptions {
  readonly self: PeerName;
  /** Peers with an open connection to this one. */
  readonly connected: ReadonlySet<PeerName>;
  /** The port of this peer. It is assumed for peers that are reported by inbound links, whose port is an ephemeral one. */
  readonly port: number;
  /** Addresses of this host. */
  readonly own: () => ReadonlySet<string>;
}

/** An address at which other peers reach one that this peer has no connection to. */
export interface Discovered {
  readonly address: string;
  /** Whether this peer dials first, and the other one only if no connection comes: see {@link dialsFirst}. */
  readonly first: boolean;
}

/**
 * Finds the addresses of peers that other peers have connections to and this one does not. Addresses in more records come first;
 * among equals the records take turns, so that a record full of false addresses does not displace the others. Peers without a
 * record are left out: their handshakes would be refused.
 */
export function discover(records: readonly PeerRecord[], options: DiscoveryOptions): Discovered[] {
  const { self } = options;
  const known = new Set(records.map(({ name }) => name));
  const lists = records.map((record) => reportedBy(record, known, options)).filter((list) => list.length > 0);
  if (lists.length === 0) return [];
  const own = options.own();
  /** By address: the number of records that contain it, and whether this peer dials first. */
  const witnesses = new Map<string, { count: number; first: boolean }>();
  const longest = Math.max(...lists.map((list) => list.length));
  for (let turn = 0; turn < longest; turn++) {
    for (const list of lists) {
      const reported = list[turn];
      if (reported === undefined || own.has(hostOf(reported.address))) continue;
      const first = dialsFirst(self, reported.to);
      const seen = witnesses.get(reported.address);
      if (seen !== undefined) {
        seen.count++;
        seen.first ||= first;
      } else if (witnesses.size < CONSIDERED) witnesses.set(reported.address, { count: 1, first });
    }
  }
  return [...witnesses]
    .sort(([, a], [, b]) => b.count - a.count)
    .slice(0, MAX_DISCOVERED)
    .map(([address, { first }]) => ({ address, first }));
}

/**
 * Which of two peers that discover each other dials first: both would otherwise dial at the same time, and one of the two
 * handshakes would be in vain. Equal at both ends, and for each peer true for about half of the others.
 */
export function dialsFirst(self: PeerName, other: PeerName): boolean {
  const isEven = (lastDigit(self) + lastDigit(other)) % 2 === 0;
  return self < other === isEven;
}

const lastDigit = (name: PeerName): number => Number.parseInt(name.slice(-1), 16);

interface Reported {
  readonly to: PeerName;
  readonly address: string;
}

/** Returns the dialable addresses of a record's links to other known peers. */
function reportedBy(
  { name, links }: PeerRecord,
  known: ReadonlySet<PeerName>,
  { self, connected, port }: DiscoveryOptions,
): Reported[] {
  if (name === self) return [];
  const reported: Reported[] = [];
  for (const link of links) {
    const { to } = link;
    if (to === self || connected.has(to) || !known.has(to)) continue;
    const address = dialableAddress(link, port);
    if (address !== undefined) reported.push({ to, address });
  }
  return reported;
}

/** The addresses of links, which do not change. */
const addresses = new WeakMap<PeerLink, { readonly port: number; readonly address: string | undefined }>();

/** The address by which the other end of a link may be dialled; undefined if there is none. @param port of this peer */
function dialableAddress(link: PeerLink, port: number): string | undefined {
  const cached = addresses.get(link);
  if (cached?.port === port) return cached.address;
  const reported = link.outbound ? link.address : hostPortText(hostOf(link.address), port);
  const address = isDialable(reported) ? reported : undefined;
  addresses.set(link, { port, address });
  return address;
}
