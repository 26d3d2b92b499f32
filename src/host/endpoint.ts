import { WeaveError } from "#src/errors.js";
import { findBridge, sysctl } from "#src/host/bridge.js";
import { deleteLink, ipBatch } from "#src/host/links.js";

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
 * @param mac of the inner end; undefined: the kernel chooses
 * @throws WEAVE_ATTACH, WEAVE_COMMAND_FAILED; then nothing is left of it
 */
export async function makeEndpointPair(endpoint: string, bridgeName: string, mac: string | undefined): Promise<void> {
  const bridge = await findBridge(bridgeName);
  if (bridge === undefined)
    throw new WeaveError("WEAVE_ATTACH", `there is no bridge ${bridgeName}`, { next: "Launch weave again." });
  const { outside, inside } = pairNames(endpoint);
  const { mtu } = bridge;
  try {
    await ipBatch([
      `link add name ${outside} mtu ${mtu} master ${bridgeName} up type veth peer name ${inside} mtu ${mtu}${mac ? ` address ${mac}` : ""}`,
    ]);
    sysctl(`net/ipv6/conf/${outside}/disable_ipv6`, "1");
  } catch (error) {
    await removeEndpointPair(endpoint).catch(() => {});
    throw error;
  }
}

/** One end takes the other along, wherever it is. */
export async function removeEndpointPair(endpoint: string): Promise<void> {
  await deleteLink(pairNames(endpoint).outside);
}
