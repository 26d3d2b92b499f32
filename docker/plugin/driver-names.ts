import { basename } from "node:path";

/** Name of the Docker network that the router creates. Same as Weave Net. */
export const DEFAULT_NETWORK = "weave";

/** Names of our drivers in Docker: the names of their sockets (moby, pkg/plugins/discovery.go). */
export interface DriverNames {
  /** The network driver without IPAM. */
  readonly network: string;
  /** The network driver with the IPAM driver. */
  readonly mesh: string;
}

/** Returns the names of the drivers that the two sockets serve. */
export function driverNames({ pluginSocket, meshSocket }: { pluginSocket: string; meshSocket: string }): DriverNames {
  return { network: basename(pluginSocket, ".sock"), mesh: basename(meshSocket, ".sock") };
}
