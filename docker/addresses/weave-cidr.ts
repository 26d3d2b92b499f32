import { type AddressArgument, DEFAULT_SUBNET, parseAddressArgument } from "#src/address-argument.js";
import { WeaveError } from "#src/errors.js";

/** Environment variable in which a container requests addresses. */
export const WEAVE_CIDR = "WEAVE_CIDR";

/**
 * Reads `WEAVE_CIDR` from a container's environment.
 *
 * @param byDefault whether a container without the variable gets an address
 * @returns undefined for a container that stays off the network
 * @throws WEAVE_ADDRESS_INVALID
 */
export function wantedAddresses(env: readonly string[], byDefault: boolean): AddressArgument[] | undefined {
  const value = env.findLast((each) => each.startsWith(`${WEAVE_CIDR}=`))?.slice(WEAVE_CIDR.length + 1);
  if (value === undefined) return byDefault ? [DEFAULT_SUBNET] : undefined;
  if (value === "none") return undefined;
  const words = value.split(/\s+/).filter((word) => word !== "");
  if (words.length === 0) return [DEFAULT_SUBNET];
  return words.map((word) => {
    const parsed = parseAddressArgument(word);
    if (parsed !== undefined) return parsed;
    throw new WeaveError("WEAVE_ADDRESS_INVALID", `${WEAVE_CIDR}: ${JSON.stringify(word.slice(0, 64))} is no address`, {
      next: "Give [ip:]a.b.c.d/n, net:a.b.c.d/n, net:default or none, separated by spaces.",
    });
  });
}
