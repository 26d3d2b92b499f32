import type { SwarmRole } from "#docker/engine/shapes.js";
import type { ServiceAddressesStatus } from "#docker/services/service-addresses.js";
import type { PeerName } from "#mesh/peer.js";

/** State of the Docker integration, for reports. */
export interface DockerStatus {
  readonly engine: {
    /** API version agreed on; undefined before an engine has answered. */
    readonly api: string | undefined;
    /** Name and version, such as "podman 4.3.1"; "" before an engine has answered. */
    readonly product: string;
    /** Number of running containers; undefined before an engine has answered. */
    readonly containers: number | undefined;
    /** Why no engine answers; "" while one does. */
    readonly problem: string;
  };
  /** Addresses on which the proxy listens; undefined when it is off. */
  readonly proxy: readonly string[] | undefined;
  /** Those of {@link proxy} that serve any client that can connect. */
  readonly open: readonly string[];
  /** Whether the plugin is on. */
  readonly plugin: boolean;
  /** Role of the engine in a swarm; undefined when it is in none. */
  readonly swarm: SwarmRole | undefined;
  /** Addresses of services; undefined where the plugin is not a managed one. */
  readonly services: ServiceAddressesStatus | undefined;
  /** Addresses that several hosts have claimed. */
  readonly contested: readonly { readonly address: string; readonly peers: readonly PeerName[] }[];
}
