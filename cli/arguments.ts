import { parseCidr } from "#src/address.js";
import { Exit } from "./exit.js";

/**
 * Splits off the addresses that come first, as in the original: `[ip:]a.b.c.d/n`. Parsing stops at the first other word.
 *
 * @throws Exit 1 for addresses that need IPAM; WEAVE_ADDRESS_INVALID
 */
export function takeAddresses(args: readonly string[]): { addresses: string[]; rest: string[] } {
  const addresses: string[] = [];
  let at = 0;
  for (; at < args.length; at++) {
    const word = args[at];
    if (word.startsWith("net:")) throw new Exit(1, "IP address allocation must be enabled to use 'net:'");
    const text = word.startsWith("ip:") ? word.slice(3) : word;
    if (!word.startsWith("ip:") && !/^\d+\.\d+\.\d+\.\d+\/\d+$/.test(text)) break;
    addresses.push(parseCidr(text).text);
  }
  return { addresses, rest: args.slice(at) };
}

/** Addresses must be named as long as nobody allocates them. */
export function needAddresses(addresses: readonly string[], example: string): void {
  if (addresses.length === 0)
    throw new Exit(1, `no address was given, and IP address allocation is not enabled\nName one: ${example}`);
}

/** What `attach`, `detach`, `expose` and `hide` print: the addresses without prefix, on one line. */
export function printAddresses(addresses: readonly string[]): void {
  process.stdout.write(`${addresses.map((cidr) => cidr.split("/")[0]).join(" ")}\n`);
}
