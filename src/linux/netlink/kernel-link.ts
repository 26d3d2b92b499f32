import { AttributeMap } from "#src/linux/netlink/message-reader.js";
import type { MacText } from "#src/mac.js";
import { ANY_HOST } from "#src/net/family.js";

// linux/if_link.h
export const IFLA = {
  ADDRESS: 1,
  IFNAME: 3,
  MTU: 4,
  MASTER: 10,
  LINKINFO: 18,
  IFALIAS: 20,
  NET_NS_FD: 28,
  LINK_NETNSID: 37,
} as const;
export const INFO = { KIND: 1, DATA: 2, SLAVE_KIND: 4, SLAVE_DATA: 5 } as const;
export const VXLAN = { ID: 1, LOCAL: 4, LEARNING: 7, PORT: 15, UDP_CSUM: 18, DF: 29 } as const;
export const PORT_FLAG = { LEARNING: 8, UNICAST_FLOOD: 9, MCAST_FLOOD: 27, BCAST_FLOOD: 30, ISOLATED: 33 } as const;
/** linux/if.h */
export const IFF_UP = 1;

/** Size of struct ifinfomsg: family, padding, type, index, flags, changed flags. */
export const LINK_BYTES = 16;

/** What a VXLAN device does. */
export interface VxlanSettings {
  readonly vni: number;
  readonly port: number;
  /** Source address; undefined: the kernel chooses. */
  readonly local: string | undefined;
  readonly learning: boolean;
  /** Whether UDP checksums are sent. */
  readonly checksums: boolean;
  /** Whether packets that are too long are never fragmented; undefined: the kernel lacks the setting (4.20). */
  readonly neverFragments: boolean | undefined;
}

/** What a bridge does with a port; undefined: the kernel lacks the setting. */
export interface PortSettings {
  readonly learning: boolean | undefined;
  readonly flood: boolean | undefined;
  readonly multicastFlood: boolean | undefined;
  readonly broadcastFlood: boolean | undefined;
  readonly isolated: boolean | undefined;
}

/** A network interface, as the kernel reports it. */
export interface KernelLink {
  readonly ifindex: number;
  readonly name: string;
  readonly alias: string | undefined;
  readonly kind: string | undefined;
  readonly mac: MacText | undefined;
  /** In bytes. */
  readonly mtu: number;
  readonly up: boolean;
  /** Index of the bridge. */
  readonly master: number | undefined;
  /** The namespace of its socket or other end, where that is another one: its number in this one. */
  readonly linkNamespace: number | undefined;
  readonly vxlan: VxlanSettings | undefined;
  readonly portSettings: PortSettings | undefined;
}

/** Reads the body of RTM_NEWLINK or RTM_DELLINK; undefined for one that is cut. */
export function readLink(body: Uint8Array): KernelLink | undefined {
  if (body.length < LINK_BYTES) return undefined;
  const view = new DataView(body.buffer, body.byteOffset, body.length);
  const attributes = new AttributeMap(body, LINK_BYTES);
  const info = attributes.nested(IFLA.LINKINFO);
  const kind = info.text(INFO.KIND);
  return {
    ifindex: view.getInt32(4, true),
    name: attributes.text(IFLA.IFNAME) ?? "",
    alias: attributes.text(IFLA.IFALIAS),
    kind,
    mac: attributes.mac(IFLA.ADDRESS),
    mtu: attributes.u32(IFLA.MTU) ?? 0,
    up: (view.getUint32(8, true) & IFF_UP) !== 0,
    master: attributes.u32(IFLA.MASTER),
    linkNamespace: attributes.i32(IFLA.LINK_NETNSID),
    vxlan: kind === "vxlan" ? readVxlan(info.nested(INFO.DATA)) : undefined,
    portSettings: info.text(INFO.SLAVE_KIND) === "bridge" ? readPort(info.nested(INFO.SLAVE_DATA)) : undefined,
  };
}

function readVxlan(data: AttributeMap): VxlanSettings {
  const local = data.ipv4(VXLAN.LOCAL);
  const fragmentation = data.u8(VXLAN.DF);
  return {
    vni: data.u32(VXLAN.ID) ?? 0,
    port: data.be16(VXLAN.PORT) ?? 0,
    local: local === ANY_HOST ? undefined : local,
    learning: data.u8(VXLAN.LEARNING) !== 0,
    checksums: data.u8(VXLAN.UDP_CSUM) === 1,
    neverFragments: fragmentation === undefined ? undefined : fragmentation === DF_SET,
  };
}

/** Value of VXLAN.DF: the outer header forbids fragments. */
export const DF_SET = 1;

function readPort(data: AttributeMap): PortSettings {
  const flag = (type: number): boolean | undefined => {
    const value = data.u8(type);
    return value === undefined ? undefined : value !== 0;
  };
  return {
    learning: flag(PORT_FLAG.LEARNING),
    flood: flag(PORT_FLAG.UNICAST_FLOOD),
    multicastFlood: flag(PORT_FLAG.MCAST_FLOOD),
    broadcastFlood: flag(PORT_FLAG.BCAST_FLOOD),
    isolated: flag(PORT_FLAG.ISOLATED),
  };
}
