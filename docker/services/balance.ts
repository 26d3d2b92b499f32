import type { ListedService } from "#docker/services/listed-service.js";
import type { TaskFields } from "#docker/services/task-record.js";
import type { PeerName } from "#mesh/peer.js";
import type { Versioned } from "#mesh/replica/record-format.js";
import type { ServiceAddress } from "#src/linux/firewall/services/service-address.js";
import { compareText } from "#src/text.js";

/** What is known of an endpoint by the records of its host. */
type Knowledge = "serving" | "draining" | "over" | "unreachable";

export interface BalanceInput {
  /** The services of a network, as the engine of this host lists them. */
  readonly listed: readonly ListedService[];
  /** The records of all hosts for the same network. */
  readonly records: Iterable<Versioned<TaskFields>>;
  /** Whether frames reach a host. */
  readonly isReachable: (origin: PeerName) => boolean;
}

/**
 * Decides which tasks of each service get connections. The record of a task by its own host is newer than the engine's list: it is
 * sent as soon as the task starts, is stopped or becomes unhealthy, and the list lacks some of these. Tasks without a record count as
 * listed. A task is draining if any host reports that: managers know it before the task's own host. Tasks on hosts that are not reached get connections only if there are no others.
 *
 * @returns the services with an address, sorted, so that equal knowledge gives equal rules
 */
export function balance({ listed, records, isReachable }: BalanceInput): ServiceAddress[] {
  const services = new Map<string, Record<"serving" | "draining" | "lost", Set<string>>>();
  const tasksOf = (service: string) => {
    const found = services.get(service) ?? { serving: new Set(), draining: new Set(), lost: new Set() };
    services.set(service, found);
    return found;
  };
  const known = new Map<string, Knowledge>();
  for (const record of records) {
    const { endpoint, service, address, state, origin, tombstone } = record;
    const knowledge = !isReachable(origin) ? "unreachable" : tombstone === 0 ? state : "over";
    // The same task has a record for each state that it had; one of them is live.
    const before = known.get(endpoint);
    if (before === undefined || before === "over" || before === "unreachable") known.set(endpoint, knowledge);
    if (knowledge === "serving" || knowledge === "draining") tasksOf(service)[knowledge].add(address);
  }
  for (const { address: service, tasks } of listed) {
    if (service === "") continue;
    for (const { endpoint, address } of tasks) {
      const knowledge = known.get(endpoint);
      if (knowledge === undefined) tasksOf(service).serving.add(address);
      if (knowledge === "unreachable") tasksOf(service).lost.add(address);
      // Its end has been reported, but its endpoint exists still: connections end by themselves.
      if (knowledge === "over") tasksOf(service).draining.add(address);
    }
  }
  return [...services].sort(([a], [b]) => compareText(a, b)).map(([address, tasks]) => decide(address, tasks));
}

function decide(
  address: string,
  { serving, draining, lost }: Record<"serving" | "draining" | "lost", ReadonlySet<string>>,
): ServiceAddress {
  const able = [...serving].filter((each) => !draining.has(each));
  const targets = new Set(able.length > 0 ? able : lost);
  // A packet that is sent to the service's own address would never end. An address that another endpoint has now is served.
  const select = (addresses: Iterable<string>) => [...new Set(addresses)].filter((each) => each !== address).sort();
  return {
    address,
    targets: select(targets),
    draining: select([...draining, ...lost]).filter((each) => !targets.has(each)),
  };
}
