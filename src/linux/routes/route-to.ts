import { type RouteTo, routeTo } from "#src/linux/native/route.js";
import { endpoint } from "#src/net/endpoint.js";
import { isAddress } from "#src/net/family.js";

function lookUp(host: string): RouteTo | undefined {
  try {
    return isAddress(host) ? routeTo(endpoint(host, 0)) : undefined;
  } catch {
    return undefined;
  }
}

/** Returns the MTU, in bytes, of the interface that packets to `host` leave by; undefined when there is no route. */
export async function linkMtuTo(host: string): Promise<number | undefined> {
  return lookUp(host)?.mtu;
}

/** Returns the source address that the kernel chooses for packets to `host`; undefined when there is no route. */
export async function sourceTo(host: string): Promise<string | undefined> {
  return lookUp(host)?.source;
}
