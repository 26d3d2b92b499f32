import { parseName } from "#dns/name.js";
import type { Nameserver } from "#dns/nameserver.js";
import type { ContainerObserver } from "#docker/containers.js";
import type { Container } from "#docker/engine/shapes.js";
import { textOf } from "#src/errors.js";
import type { Log } from "#src/log.js";

/** What containers on our networks are called: by their host name, their container name, and their aliases. */
export class ContainerNames implements ContainerObserver {
  readonly #names: Nameserver;
  /** Whether a network, by its id, is one of ours. */
  readonly #isOurs: (network: string) => boolean;
  /** Addresses that we gave a container otherwise than by a Docker network. */
  readonly #attachedAt: (id: string) => readonly string[];
  readonly #log: Log;
  /** What was registered for each container: what it has no more is taken away. */
  readonly #given = new Map<string, Map<string, { address: string; fqdn: string }>>();

  constructor(parts: {
    names: Nameserver;
    isOurs: (network: string) => boolean;
    attachedAt: (id: string) => readonly string[];
    log: Log;
  }) {
    this.#names = parts.names;
    this.#isOurs = parts.isOurs;
    this.#attachedAt = parts.attachedAt;
    this.#log = parts.log;
  }

  running(container: Container): void {
    const wanted = new Map<string, { address: string; fqdn: string }>();
    const want = (address: string, fqdn: string) => wanted.set(`${fqdn} ${address}`, { address, fqdn });
    const fqdn = fqdnOf(container);
    for (const address of this.#attachedAt(container.Id)) if (fqdn !== undefined) want(address, fqdn);
    for (const { NetworkID, IPAddress, Aliases } of Object.values(container.NetworkSettings.Networks)) {
      if (IPAddress === "" || !this.#isOurs(NetworkID)) continue;
      if (fqdn !== undefined) want(IPAddress, fqdn);
      for (const name of [nameOf(container), ...Aliases]) want(IPAddress, `${name}.${this.#names.domain}`);
    }
    const before = this.#given.get(container.Id) ?? new Map();
    this.#given.set(container.Id, wanted);
    for (const [key, { address, fqdn: hostname }] of before)
      if (!wanted.has(key)) this.#names.remove({ ident: container.Id, address, hostname });
    for (const { address, fqdn: hostname } of wanted.values()) this.#add(container.Id, address, hostname);
  }

  ended(id: string): void {
    this.#given.delete(id);
    this.#names.remove({ ident: id });
  }

  /** A name that can be none (Docker allows underscores and more) spoils nothing else. */
  #add(id: string, address: string, hostname: string): void {
    try {
      parseName(hostname);
      this.#names.add(id, address, hostname);
    } catch (error) {
      this.#log.warn("a name of a container was not registered", { container: id, name: hostname, why: textOf(error) });
    }
  }
}

/** Without Docker's leading slash. */
export const nameOf = ({ Name }: Pick<Container, "Name">): string => Name.replace(/^\//, "");

/** The container's host name with its domain; undefined when it has no domain. */
export function fqdnOf({ Config: { Hostname, Domainname } }: Pick<Container, "Config">): string | undefined {
  if (Hostname === "") return undefined;
  if (Domainname !== "") return `${Hostname}.${Domainname}`;
  return Hostname.includes(".") ? Hostname : undefined;
}
