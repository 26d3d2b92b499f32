import { findKernelLink } from "#src/linux/netlink/link-requests.js";
import { Netlink } from "#src/linux/netlink/netlink.js";
import { findRoute, type KernelRoute } from "#src/linux/netlink/route-requests.js";
import { endpoint } from "#src/net/endpoint.js";
import { isAddress } from "#src/net/family.js";

/**
 * Looks up a route. A program of its own for each neighbour would cost a router of thirty peers more than their handshakes.
 *
 * @param read what is wanted of it
 * @returns undefined when there is none, or it cannot be looked up
 */
async function lookUp<Result>(
  host: string,
  read: (route: KernelRoute, netlink: Netlink) => Result | Promise<Result>,
): Promise<Result | undefined> {
  if (!isAddress(host)) return undefined;
  let netlink: Netlink | undefined;
  try {
    netlink = Netlink.open("route");
    return await read(await findRoute(netlink, endpoint(host, 0)), netlink);
  } catch {
    return undefined;
  } finally {
    netlink?.close();
  }
}

/** Returns the MTU, in bytes, of the interface that packets to `host` leave by; undefined when there is no route. */
export const linkMtuTo = (host: string): Promise<number | undefined> =>
  lookUp(host, async ({ ifindex }, netlink) =>
    ifindex === undefined ? undefined : (await findKernelLink(netlink, ifindex))?.mtu,
  );

/** Returns the source address that the kernel chooses for packets to `host`; undefined when there is no route. */
export const sourceTo = (host: string): Promise<string | undefined> => lookUp(host, ({ source }) => source);
