import type { Engine } from "#docker/engine/engine.js";
import type { Network } from "#docker/engine/shapes.js";
import { DEFAULT_NETWORK, type DriverNames } from "#docker/plugin/driver-names.js";
import type { Subnet } from "#ipam/ring/subnet.js";
import { errorText } from "#src/errors.js";
import type { Log } from "#src/log.js";
import type { Problems } from "#src/problems.js";

export interface DefaultNetworkDeps {
  readonly engine: Engine;
  /** Undefined when address allocation is off: then there is no default network. */
  readonly ipam: { readonly defaultSubnet: Subnet } | undefined;
  readonly names: DriverNames;
  readonly problems: Problems;
  readonly log: Log;
}

/** Docker's network `weave`. The router creates it again when it is missing. */
export class DefaultNetwork {
  readonly #deps: DefaultNetworkDeps;
  #missing = false;
  #leaving = false;

  constructor(deps: DefaultNetworkDeps) {
    this.#deps = deps;
  }

  /** Whether the last attempt to create the network has failed. */
  get missing(): boolean {
    return this.#missing;
  }

  /**
   * Removes the network because the router is about to stop, and Docker would wait for its driver. Not if containers are attached to it.
   * The network is not created again.
   *
   * @returns names of the containers that are attached
   * @throws WEAVE_DOCKER, WEAVE_DOCKER_UNAVAILABLE
   */
  async remove(): Promise<readonly string[]> {
    const { engine, names } = this.#deps;
    const isOurs = ({ Name, Driver }: Network) => Name === DEFAULT_NETWORK && Driver === names.mesh;
    const network = (await engine.networks()).find(isOurs);
    if (network === undefined) return [];
    const attached = Object.values((await engine.network(network.Id)).Containers).map(({ Name }) => Name);
    if (attached.length > 0) return attached;
    // Set first: the event of the removal would create the network again.
    this.#leaving = true;
    await engine.removeNetwork(network.Id);
    return [];
  }

  /**
   * Creates the network if it does not exist, and again if it has another subnet than the router. The subnet is explicit: for an
   * implicit one Docker would reject overlaps with routes of the host.
   *
   * @param all all networks of the engine
   * @throws WEAVE_DOCKER
   */
  async ensure(all: readonly Network[]): Promise<void> {
    const { ipam, names, engine, log } = this.#deps;
    const subnet = ipam?.defaultSubnet.text;
    if (subnet === undefined || this.#leaving) return;
    if (engine.isPodman) return this.#failed("Podman has no network plugins. Launch with --plugin=false");
    const existing = all.find(({ Name }) => Name === DEFAULT_NETWORK);
    if (existing !== undefined) {
      if (existing.Driver !== names.mesh)
        return this.#failed(
          `there is one of driver ${existing.Driver}, not ${names.mesh}: remove it with 'docker network rm ${DEFAULT_NETWORK}'`,
        );
      const [config] = existing.IPAM?.Config ?? [];
      if (config === undefined || config.Subnet === subnet) return this.#exists();
      log.info("Docker's network has another subnet than the router; it is created again", { subnet: config.Subnet });
      await engine.removeNetwork(existing.Id);
    }
    try {
      await this.#create(subnet);
      log.info("Docker's network was created", { network: DEFAULT_NETWORK, subnet });
      this.#exists();
    } catch (error) {
      this.#failed(errorText(error));
    }
  }

  #failed(reason: string): void {
    const why = `Docker's network ${DEFAULT_NETWORK} cannot be created: ${reason}`;
    if (!this.#missing) this.#deps.log.warn(why);
    this.#missing = true;
    this.#deps.problems.set("docker network", why);
  }

  #exists(): void {
    this.#missing = false;
    this.#deps.problems.clear("docker network");
  }

  #create(subnet: string): Promise<void> {
    const { engine, names } = this.#deps;
    return engine.createNetwork({
      Name: DEFAULT_NETWORK,
      CheckDuplicate: true,
      Driver: names.mesh,
      IPAM: { Driver: names.mesh, Config: [{ Subnet: subnet }] },
      Options: { "works.weave.multicast": "true" },
    });
  }
}
