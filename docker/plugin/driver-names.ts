import { basename } from "node:path";

/** The Docker network that the router keeps in existence. As in Weave Net. */
export const DEFAULT_NETWORK = "weave";

/** Names by which Docker knows our drivers: those of their sockets (moby, pkg/plugins/discovery.go). */
export interface DriverNames {
  /** Driver of networks. */
  readonly network: string;
  /** Driver of networks and of IPAM. */
  readonly mesh: string;
}

export function driverNames({ pluginSocket, meshSocket }: { pluginSocket: string; meshSocket: string }): DriverNames {
  return { network: basename(pluginSocket, ".sock"), mesh: basename(meshSocket, ".sock") };
}
