import type { ClientSubnets } from "#dns/client-subnets.js";
import type { Nameserver } from "#dns/nameserver.js";
import type { ContainerAttachments } from "#docker/container-attachments.js";
import type { Requests } from "#ipam/allocation/requests.js";
import type { Subnet } from "#ipam/ring/subnet.js";
import type { Mesh } from "#mesh/mesh.js";
import type { KnownPeers, PeerName } from "#mesh/peer.js";
import type { ContainerLifecycle } from "#src/container-lifecycle.js";
import type { Netns } from "#src/linux/netns/netns.js";
import type { Problems } from "#src/problems.js";
import type { Resources } from "#src/resources.js";
import type { Store } from "#src/store.js";

/** Address allocation of the router, as the Docker integration uses it. */
export interface DockerIpam {
  readonly requests: Requests;
  readonly range: Subnet;
  readonly defaultSubnet: Subnet;
  /** Returns, once for each start, the namespace that had a container's addresses when the container started. It may be its current one. */
  takePreviousNetns(ident: string): Netns | undefined;
}

/** weaveDNS of the router, as the Docker integration uses it. */
export interface DockerDns {
  readonly names: Nameserver;
  /** Returns weaveDNS's address for containers. */
  address(): Promise<string>;
  /** Sets the source of the clients' subnets. */
  useSubnets(source: ClientSubnets): void;
}

/** Collaborators of {@link DockerIntegration}: services of a router that has started. */
export interface DockerDeps {
  readonly self: PeerName;
  /** Counter that grows with each start of this peer. */
  readonly incarnation: number;
  readonly mesh: Mesh;
  readonly directory: KnownPeers;
  readonly store: Store;
  /** Name of the bridge. */
  readonly bridge: string;
  /** MTU of the bridge, in bytes. */
  readonly mtu: number;
  /** Undefined when address allocation is off. */
  readonly ipam: DockerIpam | undefined;
  readonly attachments: ContainerAttachments;
  /** Undefined when weaveDNS is off. */
  readonly dns: DockerDns | undefined;
  /** Services that hold data for containers: addresses and names. */
  readonly holders: readonly ContainerLifecycle[];
  /** Connects to the hosts of the swarm's other managers, and to no earlier ones that are left out. */
  connectManagers(hosts: readonly string[]): void;
  /** Calls a function at each change of the routes to other peers. */
  onRoutes(run: () => void): void;
  readonly problems: Problems;
  /** Receives the stop functions of everything that the integration starts. */
  readonly resources: Resources;
}
