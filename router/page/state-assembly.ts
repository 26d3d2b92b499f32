import type { Connection } from "#mesh/connection/connection.js";
import type { PeerName, PeerRecord } from "#mesh/peer.js";
import {
  MAX_PAGE_ITEMS,
  MAX_PAGE_LINKS,
  MAX_PAGE_PEERS,
  MAX_PAGE_ROWS,
  pageRows,
  pageSentence,
  pageWord,
} from "#router/page/bounds.js";
import { faultsOf } from "#router/page/faults.js";
import type {
  AddressesSection,
  ConnectionsSection,
  FiguresSection,
  HostSection,
  LinkFigures,
  MeshSection,
  NamesSection,
  PageConnection,
  PageState,
} from "#router/page/page-state.js";
import type { PageSources } from "#router/page/sources.js";
import { parseCniIdent } from "#src/linux/netns/cni-ident.js";
import { macNumber } from "#src/mac.js";
import { VERSION } from "#src/version.js";

/** Makes the document of the page. Pure: a test gives the sources of any network. */
export function assemblePageState(sources: PageSources): PageState {
  const connections = connectionsOf(sources);
  const attachments = pageRows(sources.attachments);
  return {
    host: hostOf(sources),
    faults: faultsOf(sources, connections.list),
    mesh: meshOf(sources),
    connections,
    figures: figuresOf(sources),
    addresses: addressesOf(sources),
    names: namesOf(sources),
    containers: {
      list: attachments.list.map(({ id, mac, addresses }) => ({
        id: pageWord(id),
        mac,
        addresses: addresses.slice(0, MAX_PAGE_ITEMS),
      })),
      left: attachments.left,
    },
  };
}

function hostOf({ router }: PageSources): HostSection {
  return {
    name: router.Name,
    nickname: pageWord(router.NickName),
    version: VERSION,
    fingerprint: router.Fingerprint,
    encryption: !router.Encryption ? "off" : router.PeersAuthenticated ? "on" : "without password",
    cipher: router.Datapath.Cipher,
    threads: router.Datapath.Threads,
    targets: router.Targets.slice(0, MAX_PAGE_ITEMS).map(pageWord),
  };
}

function meshOf({ status, suspended, nextHop }: PageSources): MeshSection {
  const reachable = status.peers.filter(({ name }) => name !== status.self.name);
  const all = [status.self, ...byName(reachable), ...byName(suspended)];
  const kept = all.slice(0, MAX_PAGE_PEERS);
  const indexes = new Map(kept.map(({ name }, index) => [name, index]));
  const links = linksOf([status.self, ...reachable], indexes);
  return {
    peers: kept.map(({ name, nickname }, index) => ({
      name,
      nickname: pageWord(nickname),
      reachable: index <= reachable.length,
      via: index === 0 ? -1 : (indexes.get(nextHop(name) ?? name) ?? -1),
    })),
    links: links.slice(0, MAX_PAGE_LINKS),
    left: { peers: all.length - kept.length, links: Math.max(0, links.length - MAX_PAGE_LINKS) },
  };
}

/** Each link once, those of this host first. Frames pass when both ends report it. */
function linksOf(
  records: readonly Pick<PeerRecord, "name" | "links">[],
  indexes: ReadonlyMap<PeerName, number>,
): [number, number, 0 | 1][] {
  /** The number of ends that report a link as established. */
  const ends = new Map<number, number>();
  for (const { name, links } of records) {
    const from = indexes.get(name);
    if (from === undefined) continue;
    for (const { to, established } of links) {
      const index = indexes.get(to);
      if (index === undefined || index === from) continue;
      const key = Math.min(from, index) * MAX_PAGE_PEERS + Math.max(from, index);
      ends.set(key, (ends.get(key) ?? 0) + Number(established));
    }
  }
  return [...ends]
    .sort(([a], [b]) => a - b)
    .map(([key, count]) => [Math.floor(key / MAX_PAGE_PEERS), key % MAX_PAGE_PEERS, count > 1 ? 1 : 0]);
}

const byName = <Peer extends { readonly name: PeerName }>(peers: readonly Peer[]): Peer[] =>
  [...peers].sort((a, b) => (a.name < b.name ? -1 : 1));

function connectionsOf({ status, router }: PageSources): ConnectionsSection {
  // The report has the connections first, in the same order.
  const { list, left } = pageRows(router.Connections);
  return {
    list: list.map(({ Address, Outbound, State, Info, Attrs }, index): PageConnection => {
      const connection: Connection | undefined = status.connections[index];
      const reason = typeof Attrs?.reason === "string" ? Attrs.reason.replace(/^"|"$/g, "") : "";
      return {
        peer: connection?.remote?.name ?? "",
        address: pageWord(Address),
        outbound: Outbound,
        state: State,
        info: pageSentence(Info),
        encrypted: connection?.encrypted ?? false,
        carrier: connection?.overlay?.name ?? "",
        mtu: typeof Attrs?.mtu === "number" ? Attrs.mtu : 0,
        reason: pageSentence(reason),
      };
    }),
    left,
  };
}

function figuresOf({ at, status, frames }: PageSources): FiguresSection {
  const traffic = new Map((frames?.traffic ?? []).map((each) => [each.peer, each]));
  const links = status.connections.slice(0, MAX_PAGE_ROWS).flatMap(({ remote, overlay, wire }) => {
    if (remote === undefined) return [];
    const { bytesSent, bytesReceived } = traffic.get(macNumber(remote.name)) ?? { bytesSent: 0, bytesReceived: 0 };
    const { roundTripMs } = wire;
    const figures: LinkFigures = [
      roundTripMs === undefined ? null : Number(roundTripMs.toFixed(2)),
      lossOf(overlay),
      bytesSent,
      bytesReceived,
    ];
    return [[remote.name, figures] as const];
  });
  return {
    at: Math.round(at),
    links: Object.fromEntries(links),
    totals: frames
      ? {
          sent: frames.counters.bytesSent,
          received: frames.counters.bytesReceived,
          dropped: Object.values(frames.drops).reduce((sum, count) => sum + count, 0),
        }
      : null,
  };
}

/** The share of records that the other end did not receive, in percent; null where the carrier in use does not measure it. */
function lossOf(overlay: Connection["overlay"]): number | null {
  const { carriers, selection } = overlay?.diagnostics() ?? {};
  const loss = carriers?.find(({ name }) => name === selection?.carrier)?.figures.LossPercent;
  return typeof loss === "number" ? loss : null;
}

function addressesOf({ addresses }: PageSources): AddressesSection | null {
  if (addresses === undefined) return null;
  const { report } = addresses;
  const spans = pageRows(report.Entries ?? []);
  const holders = pageRows([...addresses.holders]);
  return {
    range: report.Range,
    size: report.RangeNumIPs,
    subnet: report.DefaultSubnet,
    status: pageSentence(report.Status),
    spans: spans.list.map(({ Token, Size, Peer, Nickname, IsKnownPeer, Cause }) => ({
      start: Token,
      size: Size,
      owner: Peer,
      nickname: pageWord(Nickname),
      reachable: IsKnownPeer,
      cause: pageSentence(Cause),
    })),
    holders: holders.list.map(({ ident, addresses: held }) => ({
      ident: pageWord(ident),
      addresses: held.slice(0, MAX_PAGE_ITEMS),
    })),
    left: { spans: spans.left, holders: holders.left },
  };
}

function namesOf({ names }: PageSources): NamesSection | null {
  if (names === undefined) return null;
  const { list, left } = pageRows(names.Entries.filter(({ Tombstone }) => Tombstone === 0));
  return {
    domain: names.Domain,
    list: list.map(({ Hostname, Address, ContainerID, Origin, Away }) => ({
      name: pageWord(Hostname),
      address: Address,
      container: pageWord(parseCniIdent(ContainerID)?.container ?? ContainerID),
      peer: Origin,
      away: Away,
    })),
    left,
  };
}
