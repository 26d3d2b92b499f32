/**
 * What the page receives: one document, whose sections are sent again when they change. Types alone: the page's own program has
 * them too, and knows nothing else of the router but the form of events (router/event-log/event-row.ts).
 *
 * Every list is bounded, every text is cut and free of invisible characters (router/page/bounds.ts). `left` counts what a list
 * does not have.
 */
export interface PageState {
  readonly host: HostSection;
  readonly faults: FaultsSection;
  readonly mesh: MeshSection;
  readonly connections: ConnectionsSection;
  readonly figures: FiguresSection;
  /** Null: address allocation is off. */
  readonly addresses: AddressesSection | null;
  /** Null: weaveDNS is off. */
  readonly names: NamesSection | null;
  readonly containers: ContainersSection;
}

/** One message of `GET /page/stream`, and the document of `GET /page/state`, which has all sections. */
export interface PageMessage extends Partial<PageState> {
  readonly shape: "weave.page/1";
  /** Another one for each start of the router. */
  readonly run: string;
  /** Of the files of the page: a page with others is of another version. */
  readonly build: string;
  /** Milliseconds since the Unix epoch, by the clock of the host. */
  readonly time: number;
}

export interface HostSection {
  readonly name: string;
  readonly nickname: string;
  readonly version: string;
  readonly fingerprint: string;
  readonly encryption: "off" | "without password" | "on";
  readonly cipher: string;
  readonly threads: number;
  readonly targets: readonly string[];
}

/** A fault, a warning or a note, as `weave status` prints it. */
export interface PageFault {
  readonly severity: "error" | "warning" | "note";
  /** What it is about, in a word or two. */
  readonly about: string;
  readonly text: string;
  /** The next step; "" where the text has it, or there is none. */
  readonly next: string;
  /** Name of the peer concerned; "" for none. */
  readonly peer: string;
}

export interface FaultsSection {
  readonly list: readonly PageFault[];
  readonly left: number;
}

export interface PagePeer {
  readonly name: string;
  readonly nickname: string;
  readonly reachable: boolean;
  /** Index of the neighbour that frames to it go to first: its own for a neighbour, -1 for this host and where there is no route. */
  readonly via: number;
}

export interface MeshSection {
  /** This host first. */
  readonly peers: readonly PagePeer[];
  /** Indexes of the ends of each link, and whether both ends report that frames pass: 1 or 0. */
  readonly links: readonly (readonly [number, number, 0 | 1])[];
  readonly left: { readonly peers: number; readonly links: number };
}

/** A connection of this host, an attempt, or a host that was refused. */
export interface PageConnection {
  /** Name of the peer; "" where there is no connection yet. */
  readonly peer: string;
  readonly address: string;
  readonly outbound: boolean;
  readonly state: string;
  /** The column of `weave status connections`. */
  readonly info: string;
  readonly encrypted: boolean;
  /** "" where there is none. */
  readonly carrier: string;
  /** Bytes; 0: unknown. */
  readonly mtu: number;
  /** Why frames do not pass, or do not take the best carrier; "" when all is well. */
  readonly reason: string;
}

export interface ConnectionsSection {
  readonly list: readonly PageConnection[];
  readonly left: number;
}

/** Figures of one connection, in this order: round trip in milliseconds, lost records in percent, bytes sent, bytes received. */
export type LinkFigures = readonly [
  roundTripMs: number | null,
  lossPercent: number | null,
  sent: number,
  received: number,
];

export interface FiguresSection {
  /** Milliseconds on the monotonic clock: of two messages, the difference counts. */
  readonly at: number;
  readonly links: Readonly<Record<string, LinkFigures>>;
  /** Of all threads, since their start; null: they do not answer. */
  readonly totals: { readonly sent: number; readonly received: number; readonly dropped: number } | null;
}

/** Addresses that one peer owns. */
export interface PageSpan {
  readonly start: string;
  readonly size: number;
  /** Name of the owner. */
  readonly owner: string;
  readonly nickname: string;
  readonly reachable: boolean;
  /** Why the owner has it. */
  readonly cause: string;
}

export interface AddressesSection {
  readonly range: string;
  readonly size: number;
  readonly subnet: string;
  readonly status: string;
  readonly spans: readonly PageSpan[];
  /** Holders of addresses on this host. */
  readonly holders: readonly { readonly ident: string; readonly addresses: readonly string[] }[];
  readonly left: { readonly spans: number; readonly holders: number };
}

export interface PageName {
  readonly name: string;
  readonly address: string;
  readonly container: string;
  /** Name of the peer. */
  readonly peer: string;
  /** True: its peer is unreachable. */
  readonly away: boolean;
}

export interface NamesSection {
  readonly domain: string;
  readonly list: readonly PageName[];
  readonly left: number;
}

/** An interface of this host on the bridge. */
export interface PageContainer {
  readonly id: string;
  readonly mac: string;
  readonly addresses: readonly string[];
}

export interface ContainersSection {
  readonly list: readonly PageContainer[];
  readonly left: number;
}
