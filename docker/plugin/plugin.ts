import type { AddressClaims } from "#docker/addresses/address-claims.js";
import type { RequestedAddresses } from "#docker/addresses/requested-addresses.js";
import type { Engine } from "#docker/engine/engine.js";
import { DefaultNetwork } from "#docker/plugin/default-network.js";
import { driverNames, type PluginOptions } from "#docker/plugin/driver-names.js";
import { IpamDriver } from "#docker/plugin/ipam-driver.js";
import { NetworkDriver } from "#docker/plugin/network-driver.js";
import { NetworkSync } from "#docker/plugin/network-sync.js";
import type { PluginSockets } from "#docker/plugin/plugin-sockets.js";
import type { PluginStore } from "#docker/plugin/plugin-store.js";
import type { Join } from "#docker/plugin/protocol.js";
import type { Requests } from "#ipam/allocation/requests.js";
import type { Subnet } from "#ipam/ring/subnet.js";
import { systemClock } from "#src/clock.js";
import { overlappingRoute } from "#src/linux/routes/routes.js";
import type { Log } from "#src/log.js";
import type { Problems } from "#src/problems.js";

export interface PluginDeps {
  readonly engine: Engine;
  readonly bridge: string;
  /** MTU of the bridge, in bytes. */
  readonly mtu: number;
  /** Undefined when address allocation is off; then {@link requested} is, too. */
  readonly ipam: { readonly requests: Requests; readonly range: Subnet; readonly defaultSubnet: Subnet } | undefined;
  readonly store: PluginStore;
  readonly claims: AddressClaims;
  readonly requested: RequestedAddresses | undefined;
  /** Called when the nodes of the engine's swarm have changed. */
  readonly onNodes: () => void;
  /** Called when a container is connected to a network. */
  readonly onJoin: (call: Join) => void;
  readonly containers: { describe(ident: string): string };
  readonly problems: Problems;
  readonly log: Log;
}

/** Components of a started plugin that other code uses. */
export interface Plugin {
  readonly networks: NetworkSync;
  /** Undefined for a managed plugin: only a swarm's manager could create one, for all nodes. */
  readonly defaultNetwork: DefaultNetwork | undefined;
}

/** Creates the drivers of Docker's plugin, lets the sockets serve them, and starts the comparison with Docker's networks. */
export function startPlugin(sockets: PluginSockets, options: PluginOptions, deps: PluginDeps): Plugin {
  const { engine, requested, containers } = deps;
  const ipam = new IpamDriver({
    ...deps,
    clock: systemClock,
    overlappingRoute: (cidr) => overlappingRoute(cidr, ""),
    describe: (ident) => containers.describe(ident),
    onRequested: (address) => requested?.add(address),
  });
  const onCreated = (subnets: readonly string[]) => {
    ipam.networkCreated(subnets);
    // Other networks are in our range, which a launch compares with the routes.
    if (options.pluginV2) for (const subnet of subnets) void reportRoute(subnet, deps);
  };
  const network = new NetworkDriver({ ...deps, managed: options.pluginV2, onCreated, engineApi: () => engine.offered });
  sockets.serve({ network, ipam, onNodes: deps.onNodes });
  const names = driverNames(options);
  const defaultNetwork = options.pluginV2 ? undefined : new DefaultNetwork({ ...deps, names });
  const networks = new NetworkSync({ ...deps, network, driver: ipam, defaultNetwork, names });
  networks.watch();
  return { networks, defaultNetwork };
}

/** Warns if the host itself has a route into a network's subnet: its containers reach one another, and not what is behind that route. */
async function reportRoute(subnet: string, { bridge, log }: PluginDeps): Promise<void> {
  const route = subnet === "" ? undefined : await overlappingRoute(subnet, bridge).catch(() => undefined);
  if (route !== undefined)
    log.warn("the subnet of a network overlaps a route of this host, whose destinations its containers do not reach", {
      subnet,
      route,
      next: "Create the network with another --subnet, unless this is deliberate.",
    });
}
