import { type AddressArgument, DEFAULT_SUBNET, parseAddressArgument } from "#src/address-argument.js";
import { Exit, usage } from "./exit.js";

export interface Taken {
  readonly addresses: readonly AddressArgument[];
  readonly rest: readonly string[];
}

/**
 * Splits off the addresses that come first, as in the original: `[ip:]a.b.c.d/n`, `net:a.b.c.d/n`, `net:default`. Parsing
 * stops at the first other word. None at all is `net:default`.
 *
 * @throws WEAVE_ADDRESS_INVALID
 */
export function takeAddresses(args: readonly string[]): Taken {
  const addresses: AddressArgument[] = [];
  let at = 0;
  for (; at < args.length; at++) {
    const address = parseAddressArgument(args[at]);
    if (address === undefined) break;
    addresses.push(address);
  }
  return { addresses: addresses.length > 0 ? addresses : [DEFAULT_SUBNET], rest: args.slice(at) };
}

/** Takes `--timeout SECONDS` out of the arguments. @throws Exit */
export function takeTimeout(args: readonly string[]): { timeout: string | undefined; rest: string[] } {
  const { value: timeout, rest } = takeFlag(args, "--timeout");
  if (timeout !== undefined && !/^\d{1,5}$/.test(timeout))
    throw new Exit(1, `invalid value ${JSON.stringify(timeout)} for --timeout: it must be a number of seconds`);
  return { timeout, rest };
}

/** Takes `--name NAME` out of the arguments: what others shall call the container. */
export function takeName(args: readonly string[]): { name: string | undefined; rest: string[] } {
  const { value: name, rest } = takeFlag(args, "--name");
  return { name, rest };
}

/** Takes every `--add-host HOST:ADDRESS` out of the arguments. */
export function takeAddHosts(args: readonly string[]): { hosts: string[]; rest: readonly string[] } {
  const hosts: string[] = [];
  let rest = args;
  for (;;) {
    const { value, rest: others } = takeFlag(rest, "--add-host");
    if (value === undefined) return { hosts, rest };
    if (!/^[^:\s]+:[\d.:a-fA-F]+$/.test(value))
      throw new Exit(1, `invalid value ${JSON.stringify(value)} for --add-host: it must be host:address`);
    hosts.push(value);
    rest = others;
  }
}

/** Takes the first `-h NAME` out of the arguments. @throws Exit with the usage when the name is missing */
export function takeHostname(args: readonly string[]): { name: string | undefined; rest: string[] } {
  const rest = [...args];
  const at = rest.indexOf("-h");
  const [, name] = at === -1 ? [] : rest.splice(at, 2);
  if (at !== -1 && name === undefined) throw usage();
  return { name, rest };
}

function takeFlag(args: readonly string[], flag: string): { value: string | undefined; rest: string[] } {
  const rest = [...args];
  const at = rest.findIndex((word) => word === flag || word.startsWith(`${flag}=`));
  if (at === -1) return { value: undefined, rest };
  const [word, next] = rest.splice(at, rest[at].includes("=") ? 1 : 2);
  return { value: word.includes("=") ? word.slice(word.indexOf("=") + 1) : (next ?? ""), rest };
}

/** What `attach`, `detach`, `expose` and `hide` print: the addresses without prefix, on one line. */
export function printAddresses(addresses: readonly string[]): void {
  if (addresses.length > 0) process.stdout.write(`${addresses.map((cidr) => cidr.split("/")[0]).join(" ")}\n`);
}
