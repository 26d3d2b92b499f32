import { familyLayout, readSockaddr, SOCKADDR_ROOM, writeSockaddr } from "#src/linux/native/sockaddr.js";
import { AttributeMap, readAttributes } from "#src/linux/netlink/message-reader.js";
import { MessageWriter } from "#src/linux/netlink/message-writer.js";
import type { Endpoint } from "#src/net/endpoint.js";

// linux/wireguard.h
const COMMAND = { GET_DEVICE: 0, SET_DEVICE: 1 } as const;
const VERSION = 1;
const DEVICE = { IFNAME: 2, PRIVATE_KEY: 3, PUBLIC_KEY: 4, LISTEN_PORT: 6, PEERS: 8 } as const;
const PEER = {
  PUBLIC_KEY: 1,
  PRESHARED_KEY: 2,
  FLAGS: 3,
  ENDPOINT: 4,
  KEEPALIVE: 5,
  LAST_HANDSHAKE: 6,
  RECEIVED: 7,
  SENT: 8,
  ALLOWED: 9,
} as const;
const ALLOWED = { FAMILY: 1, ADDRESS: 2, PREFIX: 3 } as const;
const REMOVE_PEER = 1;
const REPLACE_ALLOWED = 2;
const AF_INET = 2;
/** Size of struct genlmsghdr: command, version, padding. */
const GENERIC_BYTES = 4;
const KEY_BYTES = 32;

/** A change of a WireGuard device; undefined properties stay as they are. */
export interface WireguardChange {
  readonly privateKey?: Uint8Array;
  readonly listenPort?: number;
  readonly peers?: readonly WireguardPeerChange[];
}

export interface WireguardPeerChange {
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
  /** All other properties are then of no effect. */
  readonly remove?: boolean;
  /** 32 bytes. */
  readonly presharedKey?: Uint8Array;
  readonly endpoint?: Endpoint;
  /** Seconds between packets that keep a NAT open; 0: none. */
  readonly keepaliveSeconds?: number;
  /** The only IPv4 address that packets from the peer may have, and that packets to it have. */
  readonly address?: string;
}

/** A WireGuard device, as the kernel reports it, without its secrets. */
export interface WireguardState {
  /** Undefined: the device has no key. */
  readonly publicKey: Uint8Array | undefined;
  readonly listenPort: number;
  readonly peers: readonly WireguardPeerState[];
}

export interface WireguardPeerState {
  readonly publicKey: Uint8Array;
  /** Undefined until it is known, and for an address family that the router does not know. */
  readonly endpoint: Endpoint | undefined;
  /** Milliseconds since 1970; 0: none yet. */
  readonly lastHandshake: number;
  /** In bytes. */
  readonly received: number;
  readonly sent: number;
  readonly keepaliveSeconds: number;
  /** IPv4 networks, in CIDR notation. */
  readonly allowed: readonly string[];
}

const header = (command: number): MessageWriter => new MessageWriter().struct([1, command], [1, VERSION], [2, 0]);

/** Writes the message that reads a device: the request of a dump. */
export const deviceQuery = (device: string): Uint8Array =>
  header(COMMAND.GET_DEVICE).text(DEVICE.IFNAME, device).finish();

/** Writes the message that changes a device. It may have keys in it: the caller calls `clear` when it is sent. */
export function deviceChange(device: string, { privateKey, listenPort, peers = [] }: WireguardChange): MessageWriter {
  const writer = header(COMMAND.SET_DEVICE).text(DEVICE.IFNAME, device);
  if (privateKey !== undefined) writer.bytes(DEVICE.PRIVATE_KEY, privateKey);
  if (listenPort !== undefined) writer.u16(DEVICE.LISTEN_PORT, listenPort);
  if (peers.length > 0)
    writer.nested(DEVICE.PEERS, (list) => {
      for (const [index, peer] of peers.entries()) list.nested(index, () => writePeer(list, peer));
    });
  return writer;
}

function writePeer(writer: MessageWriter, peer: WireguardPeerChange): void {
  const { publicKey, remove, presharedKey, endpoint, keepaliveSeconds, address } = peer;
  writer.bytes(PEER.PUBLIC_KEY, publicKey);
  if (remove) return void writer.u32(PEER.FLAGS, REMOVE_PEER);
  if (address !== undefined) writer.u32(PEER.FLAGS, REPLACE_ALLOWED);
  if (presharedKey !== undefined) writer.bytes(PEER.PRESHARED_KEY, presharedKey);
  if (endpoint !== undefined) writer.bytes(PEER.ENDPOINT, sockaddrOf(endpoint));
  if (keepaliveSeconds !== undefined) writer.u16(PEER.KEEPALIVE, keepaliveSeconds);
  if (address === undefined) return;
  writer.nested(PEER.ALLOWED, (list) =>
    list.nested(0, (allowed) =>
      allowed.u16(ALLOWED.FAMILY, AF_INET).ipv4(ALLOWED.ADDRESS, address).u8(ALLOWED.PREFIX, 32),
    ),
  );
}

function sockaddrOf(endpoint: Endpoint): Uint8Array {
  const bytes = new Uint8Array(familyLayout(endpoint).sockaddrBytes);
  writeSockaddr(new DataView(bytes.buffer), 0, endpoint);
  return bytes;
}

/** Reads the messages of a dump: the peers of a device may be in several, and one peer's networks too. */
export function readDevice(bodies: readonly Uint8Array[]): WireguardState {
  let publicKey: Uint8Array | undefined;
  let listenPort = 0;
  const peers = new Map<string, WireguardPeerState>();
  for (const body of bodies) {
    const device = new AttributeMap(body, GENERIC_BYTES);
    publicKey ??= keyOf(device.bytes(DEVICE.PUBLIC_KEY));
    listenPort = device.u16(DEVICE.LISTEN_PORT) ?? listenPort;
    for (const [, bytes] of readAttributes(device.bytes(DEVICE.PEERS) ?? new Uint8Array())) {
      const peer = readPeer(bytes);
      if (peer === undefined) continue;
      const id = Buffer.from(peer.publicKey).toString("hex");
      const before = peers.get(id);
      peers.set(id, before === undefined ? peer : { ...before, allowed: [...before.allowed, ...peer.allowed] });
    }
  }
  return { publicKey, listenPort, peers: [...peers.values()] };
}

function readPeer(bytes: Uint8Array): WireguardPeerState | undefined {
  const peer = new AttributeMap(bytes);
  const publicKey = keyOf(peer.bytes(PEER.PUBLIC_KEY));
  if (publicKey === undefined) return undefined;
  return {
    publicKey,
    endpoint: endpointIn(peer.bytes(PEER.ENDPOINT)),
    lastHandshake: timeIn(peer.bytes(PEER.LAST_HANDSHAKE, 16)),
    received: peer.u64(PEER.RECEIVED) ?? 0,
    sent: peer.u64(PEER.SENT) ?? 0,
    keepaliveSeconds: peer.u16(PEER.KEEPALIVE) ?? 0,
    allowed: readAttributes(peer.bytes(PEER.ALLOWED) ?? new Uint8Array()).flatMap(([, value]) => {
      const allowed = new AttributeMap(value);
      const address = allowed.ipv4(ALLOWED.ADDRESS);
      return address === undefined ? [] : [`${address}/${allowed.u8(ALLOWED.PREFIX) ?? 0}`];
    }),
  };
}

/** A key of all zeros is none. */
const keyOf = (bytes: Uint8Array | undefined): Uint8Array | undefined =>
  bytes?.length === KEY_BYTES && bytes.some((byte) => byte !== 0) ? Uint8Array.from(bytes) : undefined;

function endpointIn(bytes: Uint8Array | undefined): Endpoint | undefined {
  if (bytes === undefined) return undefined;
  // A copy with room for every family: the reader must not leave it.
  const room = new Uint8Array(SOCKADDR_ROOM);
  room.set(bytes.subarray(0, SOCKADDR_ROOM));
  return readSockaddr(new DataView(room.buffer), 0);
}

/** struct __kernel_timespec: seconds, nanoseconds. */
function timeIn(bytes: Uint8Array | undefined): number {
  if (bytes === undefined) return 0;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Number(view.getBigInt64(0, true)) * 1_000 + Math.floor(Number(view.getBigInt64(8, true)) / 1_000_000);
}
