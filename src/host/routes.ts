import { inSubnets, parseCidr } from "#src/address.js";
import { run } from "#src/host/exec.js";
import { findLink } from "#src/host/links.js";

/** How the kernel sends packets to `host`. @throws when there is no route */
async function routeTo(host: string): Promise<{ dev?: string; prefsrc?: string } | undefined> {
  return JSON.parse(await run("ip", ["-json", "route", "get", host]))[0];
}

/** MTU in bytes of the interface that packets to `host` leave by; undefined when there is no route. */
export async function linkMtuTo(host: string): Promise<number | undefined> {
  try {
    const route = await routeTo(host);
    return route?.dev === undefined ? undefined : (await findLink(route.dev))?.mtu;
  } catch {
    return undefined;
  }
}

/** The address that packets to `host` leave from, as the kernel chooses; undefined when there is no route. */
export async function sourceTo(host: string): Promise<string | undefined> {
  try {
    return (await routeTo(host))?.prefsrc;
  } catch {
    return undefined;
  }
}

/**
 * A route of this host that a network would clash with, as `a.b.c.d/n`; undefined where there is none. Routes of `bridge`
 * are our own, and the default route is no network. As the original: either contains the other's first address.
 */
export async function overlappingRoute(network: string, bridge: string): Promise<string | undefined> {
  const ours = parseCidr(network);
  const routes = JSON.parse((await run("ip", ["-json", "-4", "route", "show"])) || "[]") as {
    dst?: string;
    dev?: string;
  }[];
  for (const { dst = "default", dev } of routes) {
    if (dst === "default" || dev === bridge) continue;
    const theirs = parseCidr(dst.includes("/") ? dst : `${dst}/32`);
    if (inSubnets(theirs.subnet.split("/")[0], [ours]) || inSubnets(ours.subnet.split("/")[0], [theirs]))
      return theirs.text;
  }
  return undefined;
}
