import { rejectExtra, usageError } from "#cli/support/exit.js";
import { addressOfCidr, isIpv4 } from "#src/address.js";
import { parseAddressArgument } from "#src/address-argument.js";

export interface AddressArguments {
  /** As they were typed; none: the default subnet. */
  readonly addresses: readonly string[];
  readonly rest: readonly string[];
}

/**
 * Splits off the addresses that come first, as in Weave Net: `[ip:]a.b.c.d/n`, `net:a.b.c.d/n`, `net:default`. Parsing stops at the
 * first other word.
 *
 * @throws WEAVE_ADDRESS_INVALID
 */
export function takeAddresses(args: readonly string[]): AddressArguments {
  const end = args.findIndex((word) => parseAddressArgument(word) === undefined);
  return end === -1 ? { addresses: args, rest: [] } : { addresses: args.slice(0, end), rest: args.slice(end) };
}

/** The container of `attach` and `detach`: the one word that follows the addresses. @throws UsageError */
export function oneContainer(words: readonly string[]): string {
  const [container, ...more] = words;
  if (container === undefined)
    throw usageError(
      "a container is missing: its name or id, netns:NAME, the path of a namespace or the id of a process",
    );
  const late = more.find((word) => /^(ip:|net:)|^[\d.]+\/\d+$/.test(word));
  if (late !== undefined) throw usageError(`addresses come before the container: ${late}`);
  if (isIpv4(container) && more.length > 0)
    throw usageError(`${container} has no prefix length: an address is given as ${container}/12, say`);
  rejectExtra(more);
  return container;
}

/** What `attach`, `detach`, `expose` and `hide` print: the addresses without prefix, on one line. */
export function printAddresses(addresses: readonly string[]): void {
  if (addresses.length > 0) process.stdout.write(`${addresses.map((cidr) => addressOfCidr(cidr)).join(" ")}\n`);
}
