import { CommandError, run } from "#src/linux/exec.js";
import { portSysctls, sysctl } from "#src/linux/links/bridge.js";
import { ipBatch, listLinks } from "#src/linux/links/links.js";

/** Names of the pair of interfaces for a Docker endpoint. The kernel allows 15 characters. */
export function pairNames(endpointId: string): { outside: string; inside: string } {
  const id = endpointId.slice(0, 9);
  return { outside: `${ENDPOINT_PREFIX}${id}`, inside: `vethwg${id}` };
}

/** Names of host ends begin with this: `reset` finds them by it. */
export const ENDPOINT_PREFIX = "vethwl";

/**
 * Makes a pair of interfaces, one end on the bridge; Docker moves the other into a container.
 *
 * @param mtu of the bridge, in bytes
 * @param mac of the inner end; undefined: the kernel chooses
 * @throws WEAVE_COMMAND_FAILED; then there is no pair
 */
export async function makeEndpointPair(
  endpointId: string,
  { bridge, mtu }: { readonly bridge: string; readonly mtu: number },
  mac: string | undefined,
): Promise<void> {
  const { outside, inside } = pairNames(endpointId);
  const peer = `name ${inside} mtu ${mtu}${mac === undefined ? "" : ` address ${mac}`}`;
  await ipBatch([`link add name ${outside} mtu ${mtu} master ${bridge} up type veth peer ${peer}`]);
  for (const { path, value } of portSysctls(outside)) sysctl(path, value);
}

/**
 * Endpoints whose inner end is in a container: the outer end exists, and the inner one is not on the host. When a container's
 * namespace ends, the kernel removes both.
 */
export async function endpointsInContainers(endpointIds: readonly string[]): Promise<Set<string>> {
  const names = new Set((await listLinks()).map(({ ifname }) => ifname));
  return new Set(
    endpointIds.filter((endpointId) => {
      const { outside, inside } = pairNames(endpointId);
      return names.has(outside) && !names.has(inside);
    }),
  );
}

/** Removes both ends: the kernel removes the second with the first, in any namespace. A pair that does not exist is no error. */
export async function removeEndpointPair(endpointId: string): Promise<void> {
  try {
    await run("ip", ["link", "delete", "dev", pairNames(endpointId).outside]);
  } catch (error) {
    if (!(error instanceof CommandError && error.stderr.includes("Cannot find device"))) throw error;
  }
}
