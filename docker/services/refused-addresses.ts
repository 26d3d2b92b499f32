import type { ListedService } from "#docker/services/listed-service.js";
import type { Clock } from "#src/clock.js";
import type { ServiceAddress } from "#src/linux/firewall/services/service-address.js";
import { compareText } from "#src/text.js";

/** Time for which clients may still use the address of a service that has no task: the lifetime of Docker's answers in DNS. */
const KEEP_MS = 600_000;

/**
 * Addresses of services that have no task any more, by network. Engines do not list these services, but clients may know their
 * addresses still: their connections must be refused at once, and not wait for an answer.
 */
export class RefusedAddresses {
  readonly #clock: Clock;
  /** Service addresses that had tasks, with the time of the last one. */
  readonly #seen = new Map<string, Map<string, number>>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * Adds the addresses that had tasks before.
   *
   * @param listed all endpoints of the network: one of them may have got such an address meanwhile
   */
  add(
    network: string,
    services: readonly ServiceAddress[],
    listed: readonly ListedService[],
  ): readonly ServiceAddress[] {
    const now = this.#clock.now();
    const seen = this.#seen.get(network) ?? new Map<string, number>();
    this.#seen.set(network, seen);
    for (const { address } of services) seen.set(address, now);
    const inUse = new Set([
      ...listed.flatMap(({ tasks }) => tasks.map(({ address }) => address)),
      ...services.flatMap(({ targets, draining }) => [...targets, ...draining]),
    ]);
    for (const [address, last] of seen) if (now - last > KEEP_MS || inUse.has(address)) seen.delete(address);
    const current = new Set(services.map(({ address }) => address));
    const refused = [...seen.keys()].filter((address) => !current.has(address));
    return [...services, ...refused.map((address) => ({ address, targets: [], draining: [] }))].sort((a, b) =>
      compareText(a.address, b.address),
    );
  }

  /** Forgets all other networks. */
  keep(networks: Iterable<string>): void {
    const kept = new Set(networks);
    for (const network of this.#seen.keys()) if (!kept.has(network)) this.#seen.delete(network);
  }
}
