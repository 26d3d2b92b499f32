import { CommandError, run } from "#src/linux/exec.js";
import { portSysctls, sysctl } from "#src/linux/links/bridge.js";
import { ipBatch, listLinks } from "#src/linux/links/links.js";

/** Names of the pair for a Docker endpoint, as in the original: 15 characters are all that the kernel allows. */
export function pairNames(endpoint: string): { outside: string; inside: string } {
  const id = endpoint.slice(0, 9);
  return { outside: `${ENDPOINT_PREFIX}${id}`, inside: `vethwg${id}` };
}

/** Host ends of endpoints begin with this: `reset` finds them by it. */
export const ENDPOINT_PREFIX = "vethwl";

/**
 * Makes a pair of interfaces, one end on the bridge; Docker moves the other into a container.
 *
 * @param mtu of the bridge, in bytes
 * @param mac of the inner end; undefined: the kernel chooses
 * @throws WEAVE_COMMAND_FAILED; then nothing is left of it
 */
export async function makeEndpointPair(
  endpoint: string,
  { bridge, mtu }: { readonly bridge: string; readonly mtu: number },
  mac: string | undefined,
): Promise<void> {
  const { outside, inside } = pairNames(endpoint);
  const peer = `name ${inside} mtu ${mtu}${mac === undefined ? "" : ` address ${mac}`}`;
  await ipBatch([`link add name ${outside} mtu ${mtu} master ${bridge} up type veth peer ${peer}`]);
  for (const { path, value } of portSysctls(outside)) sysctl(path, value);
}

/**
 * Endpoints whose inner end is in a container: the outer end is there, and the inner one is not on the host. When a container's
 * namespace ends, the kernel removes both.
 */
export async function endpointsInContainers(endpoints: readonly string[]): Promise<Set<string>> {
  const names = new Set((await listLinks()).map(({ ifname }) => ifname));
  return new Set(
    endpoints.filter((endpoint) => {
      const { outside, inside } = pairNames(endpoint);
      return names.has(outside) && !names.has(inside);
    }),
  );
}

/** One end takes the other along, wherever it is. One that is not there is as good as removed. */
export async function removeEndpointPair(endpoint: string): Promise<void> {
  try {
    await run("ip", ["link", "delete", "dev", pairNames(endpoint).outside]);
  } catch (error) {
    if (!(error instanceof CommandError && error.stderr.includes("Cannot find device"))) throw error;
  }
}
