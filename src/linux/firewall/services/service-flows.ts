import { hasTool, run } from "#src/linux/exec.js";
import type { ServiceAddress } from "#src/linux/firewall/services/service-address.js";

/** Maximum number of removals in one change: each takes a process, and a container can have any flows in its own namespace. */
const MAX_REMOVALS = 256;

/** Flows from one service address to one other end, which is no task. */
export interface StaleFlows {
  readonly address: string;
  /** A task that is gone, or the service address itself: a flow that began before there was a rule. */
  readonly target: string;
}

/**
 * Selects the flows of service addresses that lead to no task. Their packets would be lost, as long as the client sends some:
 * connection tracking keeps the first choice.
 *
 * Flows of ended TCP connections are left out: a new connection replaces them.
 *
 * @param listed output of `conntrack -L`: for each flow its original source and destination, then those of the replies
 */
export function staleFlows(listed: string, services: readonly ServiceAddress[]): StaleFlows[] {
  const tasks = new Map(
    services.map(({ address, targets, draining }) => [address, new Set([...targets, ...draining])] as const),
  );
  const found = new Map<string, StaleFlows>();
  const ended = /^tcp +6 \d+ (?:TIME_WAIT|CLOSE) .*\n/gm;
  for (const [, address, target] of listed
    .replace(ended, "")
    .matchAll(/^.*?src=\S+ dst=(\S+) .*?src=(\S+) dst=.*$/gm)) {
    const known = tasks.get(address);
    if (known !== undefined && !known.has(target)) found.set(`${address} ${target}`, { address, target });
  }
  return [...found.values()].slice(0, MAX_REMOVALS);
}

/**
 * Removes the flows in a namespace that lead to no task. The next packet of a client is then a new one: it is refused, or sent to a
 * task that does not know the connection and resets it. Without the program `conntrack` nothing is done.
 *
 * @returns the removed flows
 * @throws WEAVE_COMMAND_FAILED
 */
export async function removeStaleFlows(netns: string, services: readonly ServiceAddress[]): Promise<StaleFlows[]> {
  if (!hasTool("conntrack")) return [];
  const stale = staleFlows(await run("conntrack", ["-L", "-f", "ipv4"], { netns }), services);
  for (const { address, target } of stale)
    await run("conntrack", ["-D", "-f", "ipv4", "--orig-dst", address, "--reply-src", target], { netns }).catch(
      // Its exit status is 1 for none: the flow has ended meanwhile.
      () => {},
    );
  return stale;
}
