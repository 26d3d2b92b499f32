import type { MacClaims } from "#router/datapath/mac-ledger.js";
import type { NextHop } from "#router/datapath/next-hop.js";
import { Occupancy, type ThreadLoad } from "#router/datapath/occupancy.js";
import type { Arrivals } from "#router/datapath/session-keys.js";
import type { SourceClaims } from "#router/datapath/source-guard.js";
import { type PeerTraffic, TrafficLedger } from "#router/datapath/traffic-ledger.js";
import type { TapOffloads } from "#src/linux/native/tap.js";
import type { UdpOffloads } from "#src/linux/native/udp.js";
import type { Endpoint } from "#src/net/endpoint.js";

/**
 * A command of the event loop to the frame threads. Commands travel through a message port. An eventfd announces them, because
 * a thread blocks in poll(2) and not in Node's event loop.
 */
export type Command =
  | {
      readonly do: "open";
      readonly session: number;
      readonly peer: number;
      readonly encrypted: boolean;
      /** The peer's address in the connection, as text. */
      readonly host: string;
    }
  | {
      readonly do: "key";
      readonly session: number;
      readonly direction: "seal" | "open";
      readonly epoch: number;
      readonly key: Uint8Array;
      readonly salt: Uint8Array;
    }
  /** The other end's number for the session: each datagram to the other end contains it. */
  | { readonly do: "remote"; readonly session: number; readonly remoteSession: number }
  | { readonly do: "next-hop"; readonly session: number; readonly nextHop: NextHop }
  /** How datagrams of a session are sent: both frames and the pings of the path. */
  | {
      readonly do: "datagrams";
      readonly session: number;
      /** Undefined: the threads keep the address that they have, and follow the peer. */
      readonly address: Endpoint | undefined;
      /** Undefined: the kernel chooses the source address. */
      readonly source: Endpoint | undefined;
      readonly datagramBytes: number;
      readonly datagramsPerRecord: number;
      /** True: one system call may send many datagrams. */
      readonly batches: boolean;
    }
  /** A sealed record of the other end, which a carrier received on the event loop. */
  | { readonly do: "record"; readonly session: number; readonly record: Uint8Array }
  /** The carrier has sent or dropped `bytes` of the records that this lane handed to the event loop. */
  | { readonly do: "record-sent"; readonly session: number; readonly lane: number; readonly bytes: number }
  /** Another thread has received from a new address of the peer. */
  | { readonly do: "address"; readonly session: number; readonly address: Endpoint }
  | { readonly do: "control"; readonly session: number; readonly message: Uint8Array; readonly datagramBytes: number }
  /** Control messages that one system call sends, each in a datagram of its own. */
  | {
      readonly do: "batch";
      readonly session: number;
      readonly messages: readonly Uint8Array[];
      readonly datagramBytes: number;
    }
  | { readonly do: "close"; readonly session: number }
  | { readonly do: "routes"; readonly routes: RouteTable }
  /** Another thread has learned the peer of a MAC. */
  | { readonly do: "learn"; readonly mac: number; readonly peer: number }
  | { readonly do: "forget"; readonly peer: number }
  /** The MAC is no longer on our bridge: it may be learned from the network. */
  | { readonly do: "release"; readonly mac: number }
  | { readonly do: "report"; readonly ticket: number }
  | { readonly do: "stop" };

/** Work that the kernel, the devices and OpenSSL do. Without an offload the router does the same work, slower. */
export interface Offloads extends TapOffloads, UdpOffloads {
  /** True: OpenSSL is called directly; false: node:crypto. */
  readonly openssl: boolean;
}

/** Names of the offloads on the command line and in status. */
export const OFFLOADS = ["vnet-header", "tso", "uso", "udp-segment", "udp-gro", "openssl"] as const;
export type OffloadName = (typeof OFFLOADS)[number];

/** The routes of frames. Peers and neighbours are the numbers of their names. */
export interface RouteTable {
  /** The session for frames to a peer. */
  readonly unicast: ReadonlyMap<number, number>;
  /** The sessions for the floods of a peer. */
  readonly flood: ReadonlyMap<number, readonly number[]>;
  /** The peers whose frames a neighbour may relay to us, beside its own. */
  readonly relays: ReadonlyMap<number, readonly number[]>;
}

/** An event of a frame thread for the event loop. */
export type DatapathEvent =
  | {
      readonly event: "control";
      readonly session: number;
      readonly message: Uint8Array;
      readonly datagramBytes: number;
      /** True: the message is a ping, and the thread has answered it. */
      readonly answered: boolean;
    }
  /** Frames are being sent by UDP; `large`: in datagrams larger than the floor, which not every path carries. */
  | { readonly event: "frames"; readonly session: number; readonly large: boolean }
  | { readonly event: "address-changed"; readonly session: number; readonly address: Endpoint }
  /** A sealed record for the carrier in use. */
  | { readonly event: "record"; readonly session: number; readonly record: Uint8Array }
  | ({ readonly event: "arrivals"; readonly session: number } & Arrivals)
  | { readonly event: "mac-learnt"; readonly mac: number; readonly peer: number }
  | { readonly event: "too-big"; readonly session: number }
  | { readonly event: "mac-moved"; readonly mac: number; readonly from: number; readonly to: number }
  | { readonly event: "mac-refused"; readonly mac: number; readonly peer: number }
  /** A peer sends frames with more MACs than its share of the table, or than the table has room for. */
  | { readonly event: "mac-full"; readonly mac: number; readonly peer: number }
  /** Two peers claim a MAC. It stays at one of them. */
  | { readonly event: "mac-held"; readonly mac: number; readonly at: number; readonly claimedBy: number }
  /** A neighbour has sent a record of a peer from which no route leads through the neighbour to us. */
  | { readonly event: "source-refused"; readonly neighbour: number; readonly source: number }
  | { readonly event: "fault"; readonly message: string }
  | { readonly event: "report"; readonly ticket: number; readonly report: DatapathReport };

export interface DatapathReport {
  readonly macs: readonly { readonly mac: number; readonly peer: number; readonly idleMs: number }[];
  readonly counters: Counters;
  readonly drops: Record<Drop, number>;
  /** What neighbours have sent in the name of others, and what peers have claimed of the MACs of others. */
  readonly sourceClaims: readonly SourceClaims[];
  readonly macClaims: readonly MacClaims[];
  /** What was sealed for each neighbour, and opened of it. */
  readonly traffic: readonly PeerTraffic[];
  /** The load of each thread. */
  readonly loads: readonly ThreadLoad[];
}

/** Reasons to drop a frame, record or datagram. Every drop is counted under one of them. */
export const DROPS = [
  "datagram-malformed",
  "session-unknown",
  "epoch-unknown",
  "authentication-failed",
  "replayed",
  "record-malformed",
  "reassembly-evicted",
  "frame-malformed",
  "no-route",
  "hops-exceeded",
  "looped",
  "source-refused",
  "address-unproven",
  "own-mac",
  "mac-table-full",
  "key-missing",
  "seal-refused",
  "address-unknown",
  "send-failed",
  "send-queue-full",
  "stream-queue-full",
  "receive-queue-full",
  "datagram-too-big",
  "tap-write-failed",
  "congested",
] as const;
export type Drop = (typeof DROPS)[number];

export interface Counters {
  framesCaptured: number;
  framesDelivered: number;
  recordsSent: number;
  recordsReceived: number;
  recordsRelayed: number;
  datagramsSent: number;
  datagramsReceived: number;
  bytesSent: number;
  bytesReceived: number;
}

/** Counters of one frame thread, since its start. */
export class Tally {
  readonly counters: Counters = {
    framesCaptured: 0,
    framesDelivered: 0,
    recordsSent: 0,
    recordsReceived: 0,
    recordsRelayed: 0,
    datagramsSent: 0,
    datagramsReceived: 0,
    bytesSent: 0,
    bytesReceived: 0,
  };
  /** By neighbour. */
  readonly traffic = new TrafficLedger();
  /** As in {@link OwnTimes}. */
  workedMs = 0;
  polledMs = 0;
  readonly #occupancy = new Occupancy();
  readonly drops = Object.fromEntries(DROPS.map((reason) => [reason, 0])) as Record<Drop, number>;

  /** The load of the calling thread, whose counters these are. */
  load(): ThreadLoad {
    return this.#occupancy.read(this);
  }

  /** @param count frames, records or datagrams, as the reason implies */
  drop(reason: Drop, count = 1): void {
    this.drops[reason] += count;
  }
}
