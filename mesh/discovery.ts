import type { PeerName, PeerRecord } from "#mesh/peer.js";
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

/**
 * Finds the addresses of peers that other peers have connections to and this one does not. Addresses in more records come first;
 * among equals the records take turns, so that a record full of false addresses does not displace the others.
 */
export function discover(records: readonly PeerRecord[], options: DiscoveryOptions): string[] {
  const lists = records.map((record) => reportedBy(record, options)).filter((list) => list.length > 0);
  if (lists.length === 0) return [];
  const own = options.own();
  /** Number of records that contain each address. */
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

/** Returns the dialable addresses of a record's links. */
function reportedBy(record: PeerRecord, { self, connected, port }: DiscoveryOptions): string[] {
  if (record.name === self) return [];
  return record.links
    .filter(({ to }) => to !== self && !connected.has(to))
    .map(({ address, outbound }) => (outbound ? address : hostPortText(hostOf(address), port)))
    .filter(isDialable);
}
