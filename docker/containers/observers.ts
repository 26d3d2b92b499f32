import { ArpSettings } from "#docker/containers/arp-settings.js";
import type { Attacher } from "#docker/containers/attacher.js";
import { ContainerNames } from "#docker/containers/container-names.js";
import type { ContainerObserver } from "#docker/containers/container-tracker.js";
import { StaleNamespaces } from "#docker/containers/stale-namespaces.js";
import type { DockerDeps } from "#docker/deps.js";
import { addressText, EVERYTHING } from "#ipam/ring/subnet.js";
import { systemClock } from "#src/clock.js";
import type { Log } from "#src/log.js";

export interface ObserverDeps extends Pick<DockerDeps, "ipam" | "dns"> {
  readonly attacher: Attacher;
  /** Whether our plugin drives the Docker network with this id. */
  readonly isOurNetwork: (network: string) => boolean;
  /** The observer for service addresses; undefined without them. */
  readonly services: ContainerObserver | undefined;
  readonly log: Log;
}

/** Creates the observers of containers, in the order in which they are informed: addresses before names. */
export function containerObservers({
  ipam,
  dns,
  attacher,
  isOurNetwork,
  services,
  log,
}: ObserverDeps): ContainerObserver[] {
  const attachedAddresses = (id: string) =>
    ipam === undefined
      ? attacher.addressesOf(id)
      : ipam.requests.lookup(id, EVERYTHING).map(({ address }) => addressText(address));
  return [
    ...(ipam === undefined ? [] : [new StaleNamespaces(ipam, log)]),
    attacher,
    ...(dns === undefined
      ? []
      : [new ContainerNames({ names: dns.names, isOurNetwork, attachedAddresses, clock: systemClock, log })]),
    ...(services === undefined ? [] : [services]),
    new ArpSettings(isOurNetwork),
  ];
}
