import { fold, parseName } from "#dns/name.js";
import type { Nameserver } from "#dns/nameserver.js";
import type { ContainerObserver } from "#docker/containers/container-tracker.js";
import { type Container, nameOf } from "#docker/engine/shapes.js";
import type { Clock } from "#src/clock.js";
import { ENDED_CONTAINER_GRACE_MS } from "#src/container-lifecycle.js";
import { errorText } from "#src/errors.js";
import type { Log } from "#src/log.js";

interface Name {
  readonly address: string;
  readonly hostname: string;
}

/** Names that users registered for a container that has ended and may restart. */
interface KeptNames {
  readonly until: number;
  readonly names: readonly Name[];
  /** Addresses of the container when it ended. */
  readonly addresses: ReadonlySet<string>;
}

export interface ContainerNamesDeps {
  readonly names: Nameserver;
  /** Whether our plugin drives the Docker network with this id. */
  readonly isOurNetwork: (network: string) => boolean;
  /** Addresses of a container that it has from the router, not from a Docker network. */
  readonly attachedAddresses: (id: string) => readonly string[];
  readonly clock: Clock;
  readonly log: Log;
}

/** Registers the names of containers on our networks in weaveDNS: host name, container name, and aliases. */
export class ContainerNames implements ContainerObserver {
  readonly #deps: ContainerNamesDeps;
  /** Addresses of each running container. */
  readonly #addresses = new Map<string, ReadonlySet<string>>();
  readonly #kept = new Map<string, KeptNames>();
  /** Names registered here for each running container, by {@link keyOf}. */
  readonly #registered = new Map<string, ReadonlyMap<string, Name>>();

  constructor(deps: ContainerNamesDeps) {
    this.#deps = deps;
  }

  running(container: Container): void {
    const { names } = this.#deps;
    const { wanted, addresses } = this.#namesOf(container);
    const before = this.#registered.get(container.Id) ?? new Map<string, Name>();
    for (const [key, name] of before) if (!wanted.has(key)) names.remove({ ident: container.Id, ...name });
    this.#registered.set(container.Id, new Map([...wanted].filter(([, name]) => this.#add(container.Id, name))));
    this.#addresses.set(container.Id, addresses);
    this.#restore(container.Id, addresses);
  }

  ended(id: string): void {
    const { names, clock } = this.#deps;
    const ours = this.#registered.get(id) ?? new Map<string, Name>();
    const others = names.namesOf(id).filter((name) => !ours.has(keyOf(name)));
    const now = clock.now();
    for (const [each, { until }] of this.#kept) if (until < now) this.#kept.delete(each);
    if (others.length > 0)
      this.#kept.set(id, {
        until: now + ENDED_CONTAINER_GRACE_MS,
        names: others,
        addresses: this.#addresses.get(id) ?? new Set(),
      });
    this.#registered.delete(id);
    this.#addresses.delete(id);
    names.remove({ ident: id });
  }

  #namesOf(container: Container): { wanted: ReadonlyMap<string, Name>; addresses: ReadonlySet<string> } {
    const { names, isOurNetwork, attachedAddresses } = this.#deps;
    const fqdn = fqdnOf(container);
    const attached = attachedAddresses(container.Id);
    const ends = Object.values(container.NetworkSettings.Networks).filter(
      ({ NetworkID, IPAddress }) => IPAddress !== "" && isOurNetwork(NetworkID),
    );
    const addresses = new Set([...attached, ...ends.map(({ IPAddress }) => IPAddress)]);
    const all = [
      ...(fqdn === undefined ? [] : [...addresses].map((address) => ({ address, hostname: fqdn }))),
      ...ends.flatMap(({ IPAddress, Aliases }) =>
        [nameOf(container), ...Aliases].map((name) => ({ address: IPAddress, hostname: `${name}.${names.domain}` })),
      ),
    ];
    return { wanted: new Map(all.map((name) => [keyOf(name), name])), addresses };
  }

  /** Registers the kept names of a restarted container again, except at addresses that it has lost. */
  #restore(id: string, addresses: ReadonlySet<string>): void {
    const kept = this.#kept.get(id);
    this.#kept.delete(id);
    if (kept === undefined || kept.until < this.#deps.clock.now()) return;
    for (const name of kept.names)
      if (addresses.has(name.address) || !kept.addresses.has(name.address)) this.#add(id, name);
  }

  /** Registers a name. An invalid one is logged: Docker allows names that DNS does not. @returns whether it is registered */
  #add(id: string, { address, hostname }: Name): boolean {
    try {
      parseName(hostname);
      return this.#deps.names.add(id, address, hostname);
    } catch (error) {
      this.#deps.log.warn("a name of a container was not registered", {
        container: id,
        name: hostname,
        why: errorText(error),
      });
      return false;
    }
  }
}

/** Identifies a name at an address, without regard to case and a final dot. */
const keyOf = ({ address, hostname }: Name): string => `${fold(hostname).replace(/\.$/, "")} ${address}`;

/** A container's host name with its domain; undefined when it has no domain. */
export function fqdnOf({ Config: { Hostname, Domainname } }: Pick<Container, "Config">): string | undefined {
  if (Hostname === "") return undefined;
  if (Domainname !== "") return `${Hostname}.${Domainname}`;
  return Hostname.includes(".") ? Hostname : undefined;
}
