import { AttributeMap } from "#src/linux/netlink/message-reader.js";
import { MessageWriter } from "#src/linux/netlink/message-writer.js";
import type { MacText } from "#src/mac.js";

// linux/rtnetlink.h, linux/neighbour.h
export const RTM_NEWNEIGH = 28;
export const RTM_DELNEIGH = 29;
export const RTM_GETNEIGH = 30;
export const AF_BRIDGE = 7;
/** Size of struct ndmsg: family, padding, index, state, flags, type. */
const NEIGHBOUR_BYTES = 12;
const NDA = { DST: 1, LLADDR: 2, VLAN: 5, PORT: 6, MASTER: 9 } as const;

/** States of an entry. */
export const NUD_REACHABLE = 0x02;
export const NUD_PERMANENT = 0x80;
/** Flags: the entry is the device's own; the bridge's; of an outside program, so that it does not expire. */
export const NTF_SELF = 0x02;
export const NTF_MASTER = 0x04;
export const NTF_EXT_LEARNED = 0x10;

/** An entry of a forwarding database: of a bridge, or of a VXLAN device. */
export interface ForwardingRecord {
  readonly mac: MacText;
  /** Index of the device. */
  readonly ifindex: number;
  readonly state: number;
  readonly flags: number;
  /** Index of the bridge whose entry it is. */
  readonly master?: number;
  /** IPv4 address that a VXLAN device sends to. */
  readonly host?: string;
  /** UDP port there. */
  readonly port?: number;
  /** VLAN; 0 without. */
  readonly vlan: number;
}

/** Reads the body of RTM_NEWNEIGH or RTM_DELNEIGH; undefined for one of another family, without a MAC, or cut. */
export function readForwarding(body: Uint8Array): ForwardingRecord | undefined {
  if (body.length < NEIGHBOUR_BYTES || body[0] !== AF_BRIDGE) return undefined;
  const view = new DataView(body.buffer, body.byteOffset, body.length);
  const attributes = new AttributeMap(body, NEIGHBOUR_BYTES);
  const mac = attributes.mac(NDA.LLADDR);
  if (mac === undefined) return undefined;
  const master = attributes.u32(NDA.MASTER);
  const host = attributes.ipv4(NDA.DST);
  const port = attributes.be16(NDA.PORT);
  return {
    mac,
    ifindex: view.getInt32(4, true),
    state: view.getUint16(8, true),
    flags: view.getUint8(10),
    ...(master === undefined ? {} : { master }),
    ...(host === undefined ? {} : { host }),
    ...(port === undefined ? {} : { port }),
    vlan: attributes.u16(NDA.VLAN) ?? 0,
  };
}

/** Writes the body of RTM_NEWNEIGH or RTM_DELNEIGH. */
export function writeForwarding(record: Omit<ForwardingRecord, "vlan" | "master">): Uint8Array {
  const { mac, ifindex, state, flags, host, port } = record;
  const writer = new MessageWriter()
    .struct([4, AF_BRIDGE], [4, ifindex], [2, state], [1, flags], [1, 0])
    .mac(NDA.LLADDR, mac);
  if (host !== undefined) writer.ipv4(NDA.DST, host);
  if (port !== undefined) writer.be16(NDA.PORT, port);
  return writer.finish();
}

/** The body of RTM_GETNEIGH for all entries of bridges and their ports. */
export const forwardingQuery = (): Uint8Array => new MessageWriter().struct([4, AF_BRIDGE], [4, 0], [4, 0]).finish();
