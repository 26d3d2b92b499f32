import { CommandError, run } from "#src/linux/exec.js";
import { portSysctls, writeSysctl } from "#src/linux/links/bridge.js";
import { ipBatch, listLinks } from "#src/linux/links/links.js";
import { SUPER_FRAME_LIMIT } from "#src/linux/links/super-frame-limit.js";

/** Characters of the endpoint's id in a name: with the prefix, a name has 15 characters, the most that the kernel allows. */
const ID_CHARACTERS = 9;

/** Makes the names of the two interfaces of a Docker endpoint. */
export function pairNames(endpointId: string): { outside: string; inside: string } {
  const id = endpointId.slice(0, ID_CHARACTERS);
  return { outside: `${ENDPOINT_PREFIX}${id}`, inside: `vethwg${id}` };
}

/** Prefix of the names of host ends, by which `reset` finds them. */
export const ENDPOINT_PREFIX = "vethwl";

/**
 * Makes the pair of interfaces of an endpoint. One end is on the bridge; Docker moves the other one into a container.
 *
 * @param mtu MTU of the bridge, in bytes
 * @param mac MAC of the inner end; undefined: the kernel chooses it
 * @throws WEAVE_COMMAND_FAILED; no pair then exists
 */
export async function makeEndpointPair(
  endpointId: string,
  { bridge, mtu }: { readonly bridge: string; readonly mtu: number },
  mac: string | undefined,
): Promise<void> {
  const { outside, inside } = pairNames(endpointId);
  const peer = `name ${inside} mtu ${mtu} ${SUPER_FRAME_LIMIT}${mac === undefined ? "" : ` address ${mac}`}`;
  await ipBatch([`link add name ${outside} mtu ${mtu} master ${bridge} up type veth peer ${peer}`]);
  for (const { path, value } of portSysctls(outside)) writeSysctl(path, value);
}

/**
 * Selects the endpoints whose inner end is in a container: the outer end exists, and the inner end is not on the host. When a
 * container's namespace ends, the kernel removes both ends.
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

/** Removes both ends: the kernel removes the inner end with the outer one. A missing pair is no error. */
export async function removeEndpointPair(endpointId: string): Promise<void> {
  try {
    await run("ip", ["link", "delete", "dev", pairNames(endpointId).outside]);
  } catch (error) {
    if (!(error instanceof CommandError && error.stderr.includes("Cannot find device"))) throw error;
  }
}
