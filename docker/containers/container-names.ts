import { fold, parseName } from "#dns/name.js";
import type { Nameserver } from "#dns/nameserver.js";
import type { ContainerObserver } from "#docker/containers/container-tracker.js";
import { type Container, nameOf } from "#docker/engine/shapes.js";
import type { Clock } from "#src/clock.js";
import { errorText } from "#src/errors.js";
import type { Log } from "#src/log.js";

/** As long as a container that restarts keeps its addresses. */
const KEEP_MS = 30_000;

interface Name {
  readonly address: string;
  readonly hostname: string;
}

/** What containers on our networks are called: by their host name, their container name, and their aliases. */
export class ContainerNames implements ContainerObserver {
  readonly #names: Nameserver;
  /** Whether a network, by its id, is one of ours. */
  readonly #isOurs: (network: string) => boolean;
  /** Addresses that we gave a container otherwise than by a Docker network. */
  readonly #attachedAt: (id: string) => readonly string[];
  readonly #clock: Clock;
  readonly #log: Log;
  /** The addresses of each container that runs. */
  readonly #addresses = new Map<string, ReadonlySet<string>>();
  /** Names that users gave containers that have ended, and may only restart. */
  readonly #kept = new Map<
    string,
    { readonly until: number; readonly names: readonly Name[]; readonly had: ReadonlySet<string> }
  >();
  /** What was registered for each container: what it has no more is taken away. */
  readonly #given = new Map<string, Map<string, { address: string; fqdn: string }>>();

  constructor(parts: {
    names: Nameserver;
    isOurs: (network: string) => boolean;
    attachedAt: (id: string) => readonly string[];
    clock: Clock;
    log: Log;
  }) {
    this.#names = parts.names;
    this.#isOurs = parts.isOurs;
    this.#attachedAt = parts.attachedAt;
    this.#clock = parts.clock;
    this.#log = parts.log;
  }

  running(container: Container): void {
    const wanted = new Map<string, { address: string; fqdn: string }>();
    const want = (address: string, fqdn: string) => wanted.set(`${fqdn} ${address}`, { address, fqdn });
    const fqdn = fqdnOf(container);
    const addresses = new Set(this.#attachedAt(container.Id));
    for (const address of addresses) if (fqdn !== undefined) want(address, fqdn);
    for (const { NetworkID, IPAddress, Aliases } of Object.values(container.NetworkSettings.Networks)) {
      if (IPAddress === "" || !this.#isOurs(NetworkID)) continue;
      addresses.add(IPAddress);
      if (fqdn !== undefined) want(IPAddress, fqdn);
      for (const name of [nameOf(container), ...Aliases]) want(IPAddress, `${name}.${this.#names.domain}`);
    }
    const before = this.#given.get(container.Id) ?? new Map();
    this.#given.set(container.Id, wanted);
    for (const [key, { address, fqdn: hostname }] of before)
      if (!wanted.has(key)) this.#names.remove({ ident: container.Id, address, hostname });
    for (const { address, fqdn: hostname } of wanted.values()) this.#add(container.Id, address, hostname);
    this.#addresses.set(container.Id, addresses);
    this.#giveBack(container.Id, addresses);
  }

  ended(id: string): void {
    const ours = new Set([...(this.#given.get(id)?.values() ?? [])].map(({ address, fqdn }) => keyOf(address, fqdn)));
    const others = this.#names.namesOf(id).filter(({ address, hostname }) => !ours.has(keyOf(address, hostname)));
    const now = this.#clock.now();
    for (const [each, { until }] of this.#kept) if (until < now) this.#kept.delete(each);
    if (others.length > 0)
      this.#kept.set(id, { until: now + KEEP_MS, names: others, had: this.#addresses.get(id) ?? new Set() });
    this.#given.delete(id);
    this.#addresses.delete(id);
    this.#names.remove({ ident: id });
  }

  /** A container has restarted: what users called it, it is called again, but not at an address that it has lost. */
  #giveBack(id: string, addresses: ReadonlySet<string>): void {
    const kept = this.#kept.get(id);
    this.#kept.delete(id);
    if (kept === undefined || kept.until < this.#clock.now()) return;
    for (const { address, hostname } of kept.names)
      if (addresses.has(address) || !kept.had.has(address)) this.#add(id, address, hostname);
  }

  /** A name that can be none (Docker allows underscores and more) spoils nothing else. */
  #add(id: string, address: string, hostname: string): void {
    try {
      parseName(hostname);
      this.#names.add(id, address, hostname);
    } catch (error) {
      this.#log.warn("a name of a container was not registered", {
        container: id,
        name: hostname,
        why: errorText(error),
      });
    }
  }
}

const keyOf = (address: string, hostname: string): string => `${fold(hostname).replace(/\.$/, "")} ${address}`;

/** The container's host name with its domain; undefined when it has no domain. */
export function fqdnOf({ Config: { Hostname, Domainname } }: Pick<Container, "Config">): string | undefined {
  if (Hostname === "") return undefined;
  if (Domainname !== "") return `${Hostname}.${Domainname}`;
  return Hostname.includes(".") ? Hostname : undefined;
}
