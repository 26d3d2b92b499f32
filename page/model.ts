import type { LinkFigures, PageConnection, PagePeer, PageState } from "#router/page/page-state.js";

/** What the user has chosen to be explained. */
export type Selection =
  | { readonly kind: "peer"; readonly key: string }
  | { readonly kind: "span"; readonly key: string }
  | { readonly kind: "name"; readonly key: string }
  | { readonly kind: "container"; readonly key: string };

export type Select = (selection: Selection | undefined) => void;

/** A peer with all that is known of it. */
export interface PeerView extends PagePeer {
  readonly index: number;
  readonly title: string;
  readonly connection: PageConnection | undefined;
  readonly figures: LinkFigures | undefined;
  readonly status: PeerStatus;
  /** The neighbour that frames go to first; undefined for a neighbour, for this host, and where there is no route. */
  readonly relay: string | undefined;
}

/** `self`, a carrier in use, or why there is none. */
export type PeerStatus = "self" | "fastdp" | "sleeve" | "stream" | "other" | "relayed" | "pending" | "unreachable";

export const STATUS_TEXTS: Readonly<Record<PeerStatus, string>> = {
  self: "this host",
  fastdp: "fastdp",
  sleeve: "sleeve",
  stream: "stream",
  other: "connected",
  relayed: "relayed",
  pending: "pending",
  unreachable: "unreachable",
};

export const STATUS_MEANINGS: Readonly<Record<PeerStatus, string>> = {
  self: "The router that serves this page.",
  fastdp:
    "Frames are forwarded by the kernel of both hosts (VXLAN, inside WireGuard where they are encrypted): the fastest way.",
  sleeve: "Frames travel in UDP datagrams that the router seals.",
  stream:
    "UDP does not pass, so frames travel over the TCP connection of the two routers: it works everywhere, and is the slowest way.",
  other: "Frames travel by a carrier that this page does not know.",
  relayed: "There is no connection between the two hosts: frames go by way of a neighbour, which forwards them.",
  pending: "The routers are connected, but no carrier has been proven yet: frames do not pass on this link.",
  unreachable: "No route leads to this peer. Its addresses and names are kept for 15 minutes.",
};

const CARRIERS: readonly string[] = ["fastdp", "sleeve", "stream"];

/** All peers in the order of the document: this host first. */
export function peerViews({ mesh, connections, figures }: PageState): readonly PeerView[] {
  const byPeer = new Map(connections.list.filter(({ peer }) => peer !== "").map((each) => [each.peer, each]));
  return mesh.peers.map((peer, index): PeerView => {
    const connection = byPeer.get(peer.name);
    return {
      ...peer,
      index,
      title: peer.nickname || peer.name,
      connection,
      figures: figures.links[peer.name],
      status: statusOf(peer, index, connection),
      relay: peer.via > 0 && peer.via !== index ? mesh.peers[peer.via].name : undefined,
    };
  });
}

function statusOf(peer: PagePeer, index: number, connection: PageConnection | undefined): PeerStatus {
  if (index === 0) return "self";
  if (!peer.reachable) return "unreachable";
  if (connection === undefined) return "relayed";
  if (connection.state !== "established") return "pending";
  return (CARRIERS.includes(connection.carrier) ? connection.carrier : "other") as PeerStatus;
}

/** Indexes of the peers that each peer has a link with. */
export function neighboursOf({ mesh }: Pick<PageState, "mesh">): ReadonlyMap<number, readonly number[]> {
  const found = new Map<number, number[]>();
  const add = (from: number, to: number) => {
    const list = found.get(from);
    if (list === undefined) found.set(from, [to]);
    else list.push(to);
  };
  for (const [a, b] of mesh.links) {
    add(a, b);
    add(b, a);
  }
  return found;
}

/** The owner of addresses, and what it owns. */
export interface Share {
  readonly owner: string;
  readonly title: string;
  readonly size: number;
  readonly spans: number;
  readonly reachable: boolean;
}

/** The owners of addresses, the largest first. */
export function sharesOf(addresses: NonNullable<PageState["addresses"]>): readonly Share[] {
  const shares = new Map<string, Share>();
  for (const { owner, nickname, size, reachable } of addresses.spans) {
    const { size: before = 0, spans = 0 } = shares.get(owner) ?? {};
    shares.set(owner, { owner, title: nickname || owner, size: before + size, spans: spans + 1, reachable });
  }
  return [...shares.values()].sort((a, b) => b.size - a.size || (a.owner < b.owner ? -1 : 1));
}

/** Whether any of the texts contains what the user is looking for. */
export const matches = (wanted: string, ...texts: readonly string[]): boolean =>
  wanted === "" || texts.some((text) => text.toLowerCase().includes(wanted));
