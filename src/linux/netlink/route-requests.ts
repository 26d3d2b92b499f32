import { Errno } from "#src/linux/native/libc.js";
import { familyLayout } from "#src/linux/native/sockaddr.js";
import { AttributeMap } from "#src/linux/netlink/message-reader.js";
import { MessageWriter } from "#src/linux/netlink/message-writer.js";
import { CREATE, type Netlink, NetlinkError, REPLACE } from "#src/linux/netlink/netlink.js";
import { type Endpoint, endpointOf, hostText } from "#src/net/endpoint.js";

// linux/rtnetlink.h
const RTM_NEWROUTE = 24;
const RTM_DELROUTE = 25;
const RTM_GETROUTE = 26;
const AF_INET = 2;
const RTA = { DST: 1, OIF: 4, PREFSRC: 7, METRICS: 8 } as const;
const RTAX_LOCK = 1;
const RTAX_MTU = 2;
const TABLE_MAIN = 254;
const PROTOCOL_STATIC = 4;
const SCOPE_LINK = 253;
const UNICAST = 1;
/** Size of struct rtmsg. */
const ROUTE_BYTES = 12;

/** A route to one IPv4 address by an interface. */
export interface HostRoute {
  readonly address: string;
  /** Index of the interface. */
  readonly ifindex: number;
  /** Largest packet in bytes, which no message of a router on the path changes; undefined: the interface's. */
  readonly mtu: number | undefined;
}

/** struct rtmsg: family, prefix length, source's, service, table, protocol, scope, type, flags. */
const routeHeader = (): MessageWriter =>
  new MessageWriter().struct(
    ...([AF_INET, 32, 0, 0, TABLE_MAIN, PROTOCOL_STATIC, SCOPE_LINK, UNICAST] as const).map(
      (value) => [1, value] as const,
    ),
    [4, 0],
  );

/** Sets a route; an existing one to the address is replaced. @throws NetlinkError */
export async function setHostRoute(netlink: Netlink, { address, ifindex, mtu }: HostRoute): Promise<void> {
  const writer = routeHeader().ipv4(RTA.DST, address).u32(RTA.OIF, ifindex);
  if (mtu !== undefined)
    writer.nested(RTA.METRICS, (metrics) => metrics.u32(RTAX_LOCK, 1 << RTAX_MTU).u32(RTAX_MTU, mtu));
  const flags = CREATE | REPLACE;
  await netlink.request(`set the route to ${address}`, { type: RTM_NEWROUTE, flags, body: writer.finish() });
}

/** Removes a route; a missing one is no error. @throws NetlinkError */
export async function removeHostRoute(netlink: Netlink, address: string): Promise<void> {
  const body = routeHeader().ipv4(RTA.DST, address).finish();
  try {
    await netlink.request(`remove the route to ${address}`, { type: RTM_DELROUTE, body });
  } catch (error) {
    if (!(error instanceof NetlinkError && error.errno === Errno.ESRCH)) throw error;
  }
}

/** Lists the routes to single IPv4 addresses, of the main table. @throws NetlinkError */
export async function listHostRoutes(netlink: Netlink): Promise<HostRoute[]> {
  const body = new MessageWriter().struct([1, AF_INET], [1, 0], [2, 0], [4, 0], [4, 0]).finish();
  return (await netlink.dump("list the routes", { type: RTM_GETROUTE, body })).flatMap(
    (route) => readRoute(route) ?? [],
  );
}

function readRoute(body: Uint8Array): HostRoute | undefined {
  if (body.length < ROUTE_BYTES || body[0] !== AF_INET || body[1] !== 32 || body[4] !== TABLE_MAIN) return undefined;
  const attributes = new AttributeMap(body, ROUTE_BYTES);
  const address = attributes.ipv4(RTA.DST);
  const ifindex = attributes.u32(RTA.OIF);
  if (address === undefined || ifindex === undefined) return undefined;
  return { address, ifindex, mtu: attributes.nested(RTA.METRICS).u32(RTAX_MTU) };
}

/** The way of packets to another host. */
export interface KernelRoute {
  /** Index of the interface that they leave by. */
  readonly ifindex: number | undefined;
  /** The source address that the kernel chooses. */
  readonly source: string | undefined;
}

/** Looks up the route of packets to a host, as `ip route get` does (rtnetlink(7)). @throws NetlinkError, also when there is none */
export async function findRoute(netlink: Netlink, host: Endpoint): Promise<KernelRoute> {
  const { family, address } = host;
  const body = new MessageWriter()
    .struct([1, familyLayout(host).domain], [1, 8 * address.length], [2, 0], [4, 0], [4, 0])
    .bytes(RTA.DST, address)
    .finish();
  const answer = await netlink.request(`find the route to ${hostText(host)}`, { type: RTM_GETROUTE, body });
  const attributes = new AttributeMap(answer, ROUTE_BYTES);
  const source = attributes.bytes(RTA.PREFSRC, address.length);
  return {
    ifindex: attributes.u32(RTA.OIF),
    source: source === undefined ? undefined : hostText(endpointOf(family, source, 0)),
  };
}
