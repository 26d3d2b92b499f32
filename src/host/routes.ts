import { run } from "#src/host/exec.js";
import { findLink } from "#src/host/links.js";

/** MTU in bytes of the interface that packets to `host` leave by; undefined when there is no route. */
export async function linkMtuTo(host: string): Promise<number | undefined> {
  try {
    const [route] = JSON.parse(await run("ip", ["-json", "route", "get", host])) as { dev?: string }[];
    return route?.dev === undefined ? undefined : (await findLink(route.dev))?.mtu;
  } catch {
    return undefined;
  }
}
