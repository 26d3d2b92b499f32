import { Errno } from "#src/linux/native/libc.js";
import {
  DF_SET,
  IFF_UP,
  IFLA,
  INFO,
  type KernelLink,
  PORT_FLAG,
  type PortSettings,
  readLink,
  VXLAN,
  type VxlanSettings,
} from "#src/linux/netlink/kernel-link.js";
import { AttributeMap } from "#src/linux/netlink/message-reader.js";
import { MessageWriter } from "#src/linux/netlink/message-writer.js";
import { CREATE, EXCLUSIVE, type Netlink, NetlinkError } from "#src/linux/netlink/netlink.js";

// linux/rtnetlink.h
const RTM_NEWLINK = 16;
const RTM_DELLINK = 17;
const RTM_GETLINK = 18;
const RTM_NEWADDR = 20;
const RTM_GETNSID = 90;
const AF_INET = 2;
// linux/if_addr.h, linux/net_namespace.h
const IFA_LOCAL = 2;
const IFA_ADDRESS = 1;
const NETNSA = { NSID: 1, FD: 3 } as const;
const REPLACED_ADDRESS = 0x100;

/** struct ifinfomsg, with the family AF_UNSPEC. */
const linkHeader = (ifindex: number, flags = 0, change = 0): MessageWriter =>
  new MessageWriter().struct([4, 0], [4, ifindex], [4, flags], [4, change]);

/** Finds an interface by its name or index; undefined if there is none. @throws NetlinkError */
export async function findKernelLink(netlink: Netlink, which: string | number): Promise<KernelLink | undefined> {
  const writer = linkHeader(typeof which === "number" ? which : 0);
  if (typeof which === "string") writer.text(IFLA.IFNAME, which);
  try {
    const answer = await netlink.request(`find the interface ${which}`, { type: RTM_GETLINK, body: writer.finish() });
    return answer && readLink(answer);
  } catch (error) {
    if (error instanceof NetlinkError && error.errno === Errno.ENODEV) return undefined;
    throw error;
  }
}

/** Lists all interfaces. @throws NetlinkError */
export async function listKernelLinks(netlink: Netlink): Promise<KernelLink[]> {
  const bodies = await netlink.dump("list the interfaces", { type: RTM_GETLINK, body: linkHeader(0).finish() });
  return bodies.flatMap((body) => readLink(body) ?? []);
}

/** Properties of an interface; undefined ones stay as they are. */
export interface LinkChange {
  readonly alias?: string;
  /** In bytes. */
  readonly mtu?: number;
  readonly up?: boolean;
  /** Index of the bridge. */
  readonly master?: number;
  /** Descriptor of the network namespace to move it to. */
  readonly namespace?: number;
}

/** Makes an interface. @param data writes the attributes of its kind. @throws NetlinkError, with EEXIST when the name is in use */
export async function makeLink(
  netlink: Netlink,
  name: string,
  kind: string,
  { alias, mtu }: LinkChange = {},
  data?: (writer: MessageWriter) => void,
): Promise<void> {
  const writer = linkHeader(0).text(IFLA.IFNAME, name);
  if (mtu !== undefined) writer.u32(IFLA.MTU, mtu);
  writer.nested(IFLA.LINKINFO, (info) => {
    info.text(INFO.KIND, kind);
    if (data !== undefined) info.nested(INFO.DATA, data);
  });
  const flags = CREATE | EXCLUSIVE;
  await netlink.request(`make the ${kind} device ${name}`, { type: RTM_NEWLINK, flags, body: writer.finish() });
  // The kernel ignores the alias of a new device (before 5.0).
  if (alias === undefined) return;
  const made = linkHeader(0).text(IFLA.IFNAME, name).bytes(IFLA.IFALIAS, Buffer.from(alias));
  await netlink.request(`mark the device ${name}`, { type: RTM_NEWLINK, body: made.finish() });
}

/** The attributes of a VXLAN device that learns nothing. */
export function vxlanData(settings: Pick<VxlanSettings, "vni" | "port" | "local" | "neverFragments">) {
  return (writer: MessageWriter): void => {
    writer.u32(VXLAN.ID, settings.vni).be16(VXLAN.PORT, settings.port);
    if (settings.local !== undefined) writer.ipv4(VXLAN.LOCAL, settings.local);
    writer.u8(VXLAN.LEARNING, 0).u8(VXLAN.UDP_CSUM, 0);
    if (settings.neverFragments) writer.u8(VXLAN.DF, DF_SET);
  };
}

/** Changes an interface. @param what "move the device x", for the error. @throws NetlinkError */
export async function changeLink(netlink: Netlink, what: string, ifindex: number, change: LinkChange): Promise<void> {
  const { alias, mtu, up, master, namespace } = change;
  const writer = linkHeader(ifindex, up ? IFF_UP : 0, up === undefined ? 0 : IFF_UP);
  if (alias !== undefined) writer.bytes(IFLA.IFALIAS, Buffer.from(alias));
  if (mtu !== undefined) writer.u32(IFLA.MTU, mtu);
  if (master !== undefined) writer.u32(IFLA.MASTER, master);
  if (namespace !== undefined) writer.u32(IFLA.NET_NS_FD, namespace);
  await netlink.request(what, { type: RTM_NEWLINK, body: writer.finish() });
}

/** Sets what a bridge does with its port; undefined settings stay. @throws NetlinkError */
export async function changePort(netlink: Netlink, port: string, ifindex: number, settings: Partial<PortSettings>) {
  const { learning, flood, multicastFlood, broadcastFlood, isolated } = settings;
  const flags: [type: number, value: boolean | undefined][] = [
    [PORT_FLAG.LEARNING, learning],
    [PORT_FLAG.UNICAST_FLOOD, flood],
    [PORT_FLAG.MCAST_FLOOD, multicastFlood],
    [PORT_FLAG.BCAST_FLOOD, broadcastFlood],
    [PORT_FLAG.ISOLATED, isolated],
  ];
  const writer = linkHeader(ifindex).nested(IFLA.LINKINFO, (info) =>
    info.text(INFO.SLAVE_KIND, "bridge").nested(INFO.SLAVE_DATA, (data) => {
      for (const [type, value] of flags) if (value !== undefined) data.u8(type, value ? 1 : 0);
    }),
  );
  await netlink.request(`set the bridge port ${port}`, { type: RTM_NEWLINK, body: writer.finish() });
}

/** Removes an interface; one that is gone already is no error. @throws NetlinkError */
export async function removeLink(netlink: Netlink, ifindex: number): Promise<void> {
  try {
    const body = linkHeader(ifindex).finish();
    await netlink.request(`remove the interface ${ifindex}`, { type: RTM_DELLINK, body });
  } catch (error) {
    if (!(error instanceof NetlinkError && error.errno === Errno.ENODEV)) throw error;
  }
}

/** Adds an IPv4 address with a prefix of 32 bits; one that exists is no error. @throws NetlinkError */
export async function addHostAddress(netlink: Netlink, ifindex: number, address: string): Promise<void> {
  // struct ifaddrmsg: family, prefix length, flags, scope, index.
  const body = new MessageWriter()
    .struct([1, AF_INET], [1, 32], [1, 0], [1, 0], [4, ifindex])
    .ipv4(IFA_LOCAL, address)
    .ipv4(IFA_ADDRESS, address)
    .finish();
  const flags = CREATE | REPLACED_ADDRESS;
  await netlink.request(`add the address ${address}`, { type: RTM_NEWADDR, flags, body });
}

/**
 * The number by which interfaces of this namespace name another one (see {@link KernelLink.linkNamespace}); undefined: no interface
 * leads there.
 *
 * @param namespace a descriptor. @throws NetlinkError
 */
export async function namespaceNumber(netlink: Netlink, namespace: number): Promise<number | undefined> {
  // struct rtgenmsg has one byte, and attributes begin at four.
  const body = new MessageWriter().struct([4, 0]).u32(NETNSA.FD, namespace).finish();
  const answer = await netlink.request("identify a network namespace", { type: RTM_GETNSID, body });
  if (answer === undefined) return undefined;
  const number = new AttributeMap(answer, 4).i32(NETNSA.NSID);
  return number === undefined || number < 0 ? undefined : number;
}
