import { isIpv4 } from "#src/address.js";
import { lookInside } from "#src/host/attached.js";
import { findNetns, netnsIdent } from "#src/host/netns.js";
import { EXTERN } from "#src/ident.js";
import { takeHostname } from "./arguments.js";
import { Exit, usage } from "./exit.js";

export interface NameArguments {
  readonly ident: string;
  readonly addresses: readonly string[];
  readonly name: string | undefined;
}

/**
 * The grammar of `dns-add` and `dns-remove`: `[ip…] <container> [-h fqdn]` or `ip… -h fqdn`. Without addresses those are
 * meant that the container has.
 *
 * @throws Exit with the usage; WEAVE_NAMESPACE
 */
export async function takeNameArguments(args: readonly string[]): Promise<NameArguments> {
  const { name, rest: words } = takeHostname(args);
  const count = words.findIndex((word) => !isIpv4(word));
  const addresses = count === -1 ? words : words.slice(0, count);
  const [target, ...more] = count === -1 ? [] : words.slice(count);
  if (more.length > 0 || target?.startsWith("-")) throw usage();
  if (target === undefined) {
    if (addresses.length === 0 || name === undefined) throw usage();
    return { ident: EXTERN, addresses, name };
  }
  const netns = findNetns(target);
  if (addresses.length > 0) return { ident: netnsIdent(netns), addresses, name };
  const attached = await lookInside(netns);
  if (attached === undefined) throw new Exit(1, `${target} is not attached: it has no addresses on the overlay`);
  return { ident: netnsIdent(netns), addresses: attached.addresses, name };
}
