import type { PeerName, PeerRecord } from "#mesh/peer.js";
import { hostOf } from "#src/net/host-port.js";

/** Addresses that are kept, of those that other peers report; a large network needs a few hundred. */
export const MAX_DISCOVERED = 1_024;
/** Addresses that are counted for this: only a hostile peer reports more. */
const CONSIDERED = 16 * MAX_DISCOVERED;

/** Octets that are never the address of another host: this network, loopback, and all from multicast on (RFC 6890). */
const HERE = 0;
const LOOPBACK = 127;
const MULTICAST = 224;

/**
 * Whether an address that another peer reports may be dialled at all: an IPv4 address and a port, no name, and no address of
 * this host or of a cloud's metadata service (link-local). A report must not make this peer call services of its own host.
 */
export function isDialable(address: string): boolean {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3}):(\d{1,5})$/.exec(address);
  if (match === null) return false;
  const [a, b, c, d, port] = match.slice(1).map(Number);
  if ([a, b, c, d].some((octet) => octet > 255) || port < 1 || port > 65_535) return false;
  return a !== HERE && a !== LOOPBACK && a < MULTICAST && !(a === 169 && b === 254);
}

export interface DiscoveryOptions {
  readonly self: PeerName;
  /** Peers with an open connection to this one. */
  readonly connected: ReadonlySet<PeerName>;
  /** Our own port: assumed for peers that are reported by inbound links, of which the port is a dialling one. */
  readonly port: number;
  /** Addresses of this host. */
  readonly own: () => ReadonlySet<string>;
}

/**
 * Addresses of peers that other peers reach and this one does not, in order of the number of records that contain them. Among
 * equals the records take turns, so that a record full of useless addresses does not displace the others.
 */
export function discover(records: readonly PeerRecord[], options: DiscoveryOptions): string[] {
  const lists = records.map((record) => namedBy(record, options)).filter((list) => list.length > 0);
  if (lists.length === 0) return [];
  const own = options.own();
  const witnesses = new Map<string, number>();
  const longest = Math.max(...lists.map((list) => list.length));
  for (let turn = 0; turn < longest; turn++) {
    for (const list of lists) {
      const address = list[turn];
      if (address === undefined || own.has(hostOf(address))) continue;
      const count = witnesses.get(address);
      if (count !== undefined || witnesses.size < CONSIDERED) witnesses.set(address, (count ?? 0) + 1);
    }
  }
  return [...witnesses]
    .sort(([, a], [, b]) => b - a)
    .slice(0, MAX_DISCOVERED)
    .map(([address]) => address);
}

function namedBy(record: PeerRecord, { self, connected, port }: DiscoveryOptions): string[] {
  if (record.name === self) return [];
  return record.links
    .filter(({ to }) => to !== self && !connected.has(to))
    .map(({ address, outbound }) => (outbound ? address : `${hostOf(address)}:${port}`))
    .filter(isDialable);
}
