import { printDocument } from "#cli/json/document.js";
import { rejectExtra, usageError } from "#cli/support/exit.js";
import { addressOfCidr, isIpv4 } from "#src/address.js";
import { parseAddressArgument } from "#src/address-argument.js";

/** Address arguments, and the arguments after them. */
export interface AddressArguments {
  /** As typed; an empty list stands for the default subnet. */
  readonly addresses: readonly string[];
  readonly rest: readonly string[];
}

/**
 * Splits off the leading address arguments, `[ip:]a.b.c.d/n`, `net:a.b.c.d/n` or `net:default`. They end at the first other word, as in
 * Weave Net.
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
    throw usageError(`${container} has no prefix length: write the address as ${container}/12, for example`);
  rejectExtra(more);
  return container;
}

/** The result of `attach`, `detach`, `expose` and `hide`. */
export interface AddressResult {
  /** In CIDR notation. */
  readonly addresses: readonly string[];
  readonly warnings: readonly string[];
}

/** Prints such a result: the addresses without prefix length, on one line, and warnings on standard error; or JSON. */
export function printAddresses({ addresses, warnings }: AddressResult, json: boolean): void {
  if (json) return printDocument("addresses", { Addresses: addresses, Warnings: warnings });
  for (const warning of warnings) process.stderr.write(`${warning}\n`);
  if (addresses.length > 0) process.stdout.write(`${addresses.map((cidr) => addressOfCidr(cidr)).join(" ")}\n`);
}
