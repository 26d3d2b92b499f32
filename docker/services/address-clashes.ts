import { networkInterfaces } from "node:os";
import type { ListedService } from "#docker/services/listed-service.js";
import type { ServiceAddress } from "#src/linux/firewall/services/service-address.js";

/** Key of the problem in status. */
export const CLASHES = "service addresses";

/**
 * Describes addresses of services that something else has, too: this host on the bridge (`weave expose`), or an endpoint. Containers
 * reach the service there, and not the other one.
 *
 * @param hostAddresses addresses of this host
 * @returns undefined without any
 */
export function describeClashes(
  services: readonly ServiceAddress[],
  listed: readonly ListedService[],
  hostAddresses: ReadonlySet<string>,
): string | undefined {
  const endpoints = new Set(listed.flatMap(({ tasks }) => tasks.map(({ address }) => address)));
  const used = services.flatMap(({ address }) =>
    hostAddresses.has(address)
      ? [`${address} (this host: 'weave hide' removes it)`]
      : endpoints.has(address)
        ? [`${address} (a container)`]
        : [],
  );
  if (used.length === 0) return undefined;
  return `addresses that Docker gave to services are in use otherwise, and containers reach only the service: ${used.slice(0, 3).join(", ")}`;
}

/** The IPv4 addresses of this host. */
export const hostAddresses = (): ReadonlySet<string> =>
  new Set(Object.values(networkInterfaces()).flatMap((each) => (each ?? []).map(({ address }) => address)));
