import type { ShapeName } from "#cli/json/document.js";
import type { IpamReport } from "#router/addresses/report.js";
import type { DnsReport } from "#router/names/report.js";
import type { ConnectionReport } from "#router/peers/connection-report.js";
import type { RouterReport } from "#router/peers/report.js";

/** What is used of a tunnel of the kernel's path (router/frames/kernel-path-service.ts). */
interface TunnelFacts {
  /** Why there is none; "": there is one. */
  readonly Problem: string;
}

/** The sections of the router's report that `weave status --json` uses; one is missing if its service is off. */
export interface StatusSource {
  readonly Version: string;
  readonly Supervision: string;
  readonly Problems: readonly string[];
  readonly Router: RouterReport;
  /** Undefined tunnels: there is no kernel's path, by `--no-fastdp`. */
  readonly Fastdp?: { readonly Clear?: TunnelFacts; readonly Encrypted?: TunnelFacts };
  readonly IPAM?: IpamReport;
  readonly DNS?: DnsReport;
}

/** Makes the documents of `weave status` and of its sections from the router's report; undefined: the section's service is off. */
export const STATUS_DOCUMENTS: Readonly<
  Record<string, { readonly shape: ShapeName; readonly make: (report: StatusSource) => object | undefined }>
> = {
  "": { shape: "status", make: summary },
  targets: { shape: "status-targets", make: ({ Router }) => ({ Targets: Router.Targets }) },
  connections: {
    shape: "status-connections",
    make: ({ Router }) => ({ Connections: Router.Connections.map((each) => connection(each, Router)) }),
  },
  peers: {
    shape: "status-peers",
    make: ({ Router }) => ({
      Peers: Router.Peers.map(({ Name, NickName, UID, Connections }) => ({
        Name,
        NickName,
        UID: String(UID),
        Connections,
      })),
    }),
  },
  ipam: { shape: "status-ipam", make: ({ IPAM }) => IPAM && addresses(IPAM) },
  dns: { shape: "status-dns", make: ({ DNS }) => DNS && { Entries: names(DNS).map(name) } },
};

function summary({ Version, Supervision, Problems, Router, IPAM, DNS }: StatusSource): object {
  const states = Router.Connections.map(({ State }) => State);
  const { Name, NickName, Fingerprint, Encryption, PeersAuthenticated, PeerDiscovery } = Router;
  return {
    Version,
    Supervision,
    Problems,
    ...{ Name, NickName, Fingerprint, Protocol: Router.ProtocolMaxVersion },
    ...{ Encryption, PeersAuthenticated, PeerDiscovery },
    Targets: Router.Targets.length,
    Connections: Object.fromEntries(
      [...new Set(states)].map((state) => [state, states.filter((each) => each === state).length]),
    ),
    Peers: Router.Peers.length,
    Unreachable: Router.SuspendedPeers,
    Ipam: IPAM
      ? {
          Status: IPAM.Status,
          Range: IPAM.Range,
          DefaultSubnet: IPAM.DefaultSubnet,
          ActiveIPs: IPAM.ActiveIPs,
          Waits: IPAM.Waits.length,
        }
      : null,
    Dns: DNS ? { Domain: DNS.Domain, Address: DNS.Address, Entries: names(DNS).length, Problem: DNS.Problem } : null,
  };
}

/** A connection, with the peer at its other end: this peer's own links name it by its address. */
export function connection(
  { Address, Outbound, State, Info, Attrs }: ConnectionReport,
  router: Pick<RouterReport, "Name" | "Peers">,
) {
  const links = router.Peers.find(({ Name }) => Name === router.Name)?.Connections ?? [];
  const link =
    Attrs === null ? undefined : links.find((each) => each.Address === Address && each.Outbound === Outbound);
  const text = (value: unknown) => (typeof value === "string" ? value.replace(/^"(.*)"$/s, "$1") : null);
  return {
    Address,
    Outbound,
    State,
    Peer: link?.Name ?? null,
    NickName: link?.NickName ?? null,
    Carrier: text(Attrs?.name),
    Encrypted: Attrs === null ? null : Attrs.encrypted === true,
    Mtu: typeof Attrs?.mtu === "number" ? Attrs.mtu : null,
    Reason: text(Attrs?.reason),
    Since: text(Attrs?.since),
    Info: Info.trim(),
  };
}

const addresses = ({ Status, Range, DefaultSubnet, ActiveIPs, Entries, Waits, Contested }: IpamReport): object => ({
  ...{ Status, Range, DefaultSubnet, ActiveIPs },
  Entries: (Entries ?? []).map(({ Token, Size, Peer, Nickname, IsKnownPeer }) => ({
    ...{ Token, Size, Peer },
    NickName: Nickname,
    Reachable: IsKnownPeer,
  })),
  Waits: Waits.map(({ Subject, SinceSeconds, For, Next }) => ({ Subject, SinceSeconds, For, Next })),
  Contested: Contested.map(({ Address, Ident, Why, Next }) => ({ Address, Ident, Why, Next })),
});

/** The names that are not deleted. */
const names = ({ Entries }: DnsReport) => Entries.filter(({ Tombstone }) => Tombstone === 0);

const name = ({ Hostname, Address, ContainerID, Origin, Away }: DnsReport["Entries"][number]) => ({
  ...{ Hostname, Address, Away },
  Holder: ContainerID,
  Peer: Origin,
});
