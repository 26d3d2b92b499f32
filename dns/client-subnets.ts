import { type Cidr, inSubnets } from "#src/address.js";

/** Finds the subnets of the overlay in which the clients of weaveDNS are. */
export interface ClientSubnets {
  /** @returns undefined for a client that is not known; a promise if an answer takes time */
  subnetsOf(client: string): readonly Cidr[] | undefined | Promise<readonly Cidr[] | undefined>;
}

/**
 * Selects from a name's addresses those in the subnets of the client, or all if there are none: subnets do not communicate, and a
 * container on several networks, or equal names in several projects, have addresses in several.
 *
 * @param addresses data of A records
 */
export function reachable(addresses: readonly Uint8Array[], subnets: readonly Cidr[]): readonly Uint8Array[] {
  if (subnets.length === 0) return addresses;
  const near = addresses.filter((data) => inSubnets(data.join("."), subnets));
  return near.length > 0 ? near : addresses;
}
