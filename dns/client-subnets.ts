import { addressOfCidr, type Cidr } from "#src/address.js";

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
  // As numbers: a name may have thousands of addresses.
  const ranges = subnets.map(({ subnet, prefix }) => {
    const start = numberOf(addressOfCidr(subnet).split(".").map(Number));
    return { start, end: start + 2 ** (32 - prefix) };
  });
  const near = addresses.filter((data) => {
    const address = numberOf(data);
    return ranges.some(({ start, end }) => address >= start && address < end);
  });
  return near.length > 0 ? near : addresses;
}

const numberOf = (bytes: ArrayLike<number>): number => ((bytes[0] * 256 + bytes[1]) * 256 + bytes[2]) * 256 + bytes[3];
