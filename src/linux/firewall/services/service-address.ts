import { isIpv4 } from "#src/address.js";

/** The address of a service, whose connections go to the addresses of its tasks. All are IPv4 addresses. */
export interface ServiceAddress {
  readonly address: string;
  /** Tasks for new connections. Without any, connections are refused. */
  readonly targets: readonly string[];
  /** Tasks that keep the connections that they have, and get no new ones. */
  readonly draining: readonly string[];
}

/** Name of the nft table, and with capital letters of the chains of iptables. */
export const SERVICE_TABLE = "weave_services";

/** Refuses other texts than addresses: they would become a part of a script. @throws TypeError */
export function requireAddresses(services: readonly ServiceAddress[]): void {
  for (const { address, targets, draining } of services)
    for (const each of [address, ...targets, ...draining])
      if (!isIpv4(each)) throw new TypeError(`no IPv4 address: ${JSON.stringify(each).slice(0, 64)}`);
}
