import { basename } from "node:path";

/** Name of the Docker network that the router creates. Same as Weave Net. */
export const DEFAULT_NETWORK = "weave";

/** Options of the plugin. */
export interface PluginOptions {
  readonly pluginSocket: string;
  readonly meshSocket: string;
  /** Whether Docker manages the plugin (V2). */
  readonly pluginV2: boolean;
}

/**
 * Names of our drivers in Docker: the names of their sockets (moby, pkg/plugins/discovery.go). Both are "" for a managed plugin: Docker
 * names its driver as it was installed, and there is no driver of IPAM.
 */
export interface DriverNames {
  /** The network driver without IPAM. */
  readonly network: string;
  /** The network driver with the IPAM driver. */
  readonly mesh: string;
}

/** Returns the names of the drivers that the sockets serve. */
export function driverNames({ pluginSocket, meshSocket, pluginV2 }: PluginOptions): DriverNames {
  if (pluginV2) return { network: "", mesh: "" };
  return { network: basename(pluginSocket, ".sock"), mesh: basename(meshSocket, ".sock") };
}
