import type { ClientSubnets } from "#dns/client-subnets.js";
import type { Engine } from "#docker/engine/engine.js";
import type { EngineListener } from "#docker/engine/events.js";
import type { EngineEvent, RunningContainer } from "#docker/engine/shapes.js";
import { addressOfCidr, type Cidr, parseCidr } from "#src/address.js";
import type { Clock } from "#src/clock.js";
import { errorText } from "#src/errors.js";
import type { Log } from "#src/log.js";
import { settledWithin } from "#src/time-limit.js";

/** Docker's bridge for containers whose networks have no gateway: their queries come from it. */
const GATEWAY_NETWORK = "docker_gwbridge";
/** Limit for the delay of an answer. */
const WAIT_MS = 300;
/** Least interval between two reads: events come in bursts. */
const READ_MS = 200;
/** Number of containers that are inspected after a read because they have just started. */
const NEW_CONTAINERS = 8;

/** Events that change the networks of a running container. */
const RELEVANT: ReadonlySet<string> = new Set([
  "container start",
  "container die",
  "network connect",
  "network disconnect",
]);

export interface ContainerSubnetsDeps {
  readonly engine: Pick<Engine, "running" | "container" | "networkOrNone">;
  /** Whether our plugin drives the Docker network with this id. */
  readonly isOurNetwork: (network: string) => boolean;
  /** Addresses of a container that it has from the router, in CIDR notation. */
  readonly leases: (id: string) => readonly string[];
  readonly clock: Clock;
  readonly log: Log;
}

/** Subnets of the containers, by the addresses from which their queries come. */
type Table = ReadonlyMap<string, readonly Cidr[]>;

/** Finds the subnets of containers that query weaveDNS. The engine is read when a query needs it, and again after an event. */
export class ContainerSubnets implements ClientSubnets, EngineListener {
  readonly #deps: ContainerSubnetsDeps;
  #table: Table = new Map();
  /** Whether no event has arrived since the table was read. */
  #current = false;
  #readAt = Number.NEGATIVE_INFINITY;
  #reading: Promise<void> | undefined;

  constructor(deps: ContainerSubnetsDeps) {
    this.#deps = deps;
  }

  connected(): void {
    this.#current = false;
  }

  event({ Type, Action }: EngineEvent): void {
    if (RELEVANT.has(`${Type} ${Action}`)) this.#current = false;
  }

  subnetsOf(client: string): readonly Cidr[] | undefined | Promise<readonly Cidr[] | undefined> {
    if (this.#reading === undefined) {
      const isRecent = this.#deps.clock.now() - this.#readAt < READ_MS;
      if (this.#current || (isRecent && this.#table.has(client))) return this.#table.get(client);
      this.#reading = this.#read().finally(() => {
        this.#reading = undefined;
      });
    }
    return settledWithin(this.#reading, WAIT_MS).then(() => this.#table.get(client));
  }

  async #read(): Promise<void> {
    const { engine, clock, log } = this.#deps;
    this.#current = true;
    this.#readAt = clock.now();
    try {
      const [listed, gateway] = await Promise.all([engine.running(), engine.networkOrNone(GATEWAY_NETWORK)]);
      const gateways = gateway?.Containers ?? {};
      const ids = new Set(listed.map(({ Id }) => Id));
      const unlisted = Object.keys(gateways).filter((id) => /^[0-9a-f]{64}$/.test(id) && !ids.has(id));
      const started = await Promise.all(
        unlisted.slice(0, NEW_CONTAINERS).map((id) => engine.container(id).catch(() => undefined)),
      );
      const table = new Map<string, readonly Cidr[]>();
      for (const container of [...listed, ...started])
        if (container !== undefined) this.#add(table, container, gateways[container.Id]?.IPv4Address ?? "");
      this.#table = table;
    } catch (error) {
      this.#current = false;
      log.debug("the networks of containers that query names could not be read", { why: errorText(error) });
    }
  }

  #add(table: Map<string, readonly Cidr[]>, { Id, NetworkSettings }: RunningContainer, gateway: string): void {
    const { isOurNetwork, leases } = this.#deps;
    const ends = Object.values(NetworkSettings.Networks).filter(({ IPAddress }) => IPAddress !== "");
    const addresses = ends
      .filter(({ NetworkID }) => isOurNetwork(NetworkID))
      .map(({ IPAddress, IPPrefixLen }) => `${IPAddress}/${IPPrefixLen}`);
    const subnets = [...addresses, ...leases(Id)].map(parseCidr);
    for (const source of [...ends.map(({ IPAddress }) => IPAddress), addressOfCidr(gateway)])
      if (source !== "") table.set(source, subnets);
  }
}
