import { attachmentInfo } from "#cli/support/attach-calls.js";
import { Exit, rejectExtra, usageError } from "#cli/support/exit.js";
import { readFlags } from "#cli/support/read-flags.js";
import { isIpv4 } from "#src/address.js";
import { EXTERN } from "#src/ident.js";

/** Arguments of `dns-add` and `dns-remove`. */
export interface NameArguments {
  /** Holder of the name. */
  readonly ident: string;
  readonly addresses: readonly string[];
  /** The name as typed, otherwise the container's own. */
  readonly name: string | undefined;
  /** Whether the name was typed. */
  readonly isTyped: boolean;
  /** False for a namespace without a container, which has no name of its own. */
  readonly container: boolean;
}

/**
 * Parses the arguments of `dns-add` and `dns-remove`: `[ip…] <container|netns> [-h fqdn]` or `ip… -h fqdn`. Without addresses the
 * container's own are used.
 *
 * @throws UsageError; Exit for a container that is not attached; WEAVE_NAMESPACE
 */
export async function takeNameArguments(
  command: "dns-add" | "dns-remove",
  args: readonly string[],
): Promise<NameArguments> {
  const { values, words } = readFlags(command, args);
  const { name } = values;
  const count = words.findIndex((word) => !isIpv4(word));
  const addresses = count === -1 ? words : words.slice(0, count);
  const [target, ...more] = count === -1 ? [] : words.slice(count);
  rejectExtra(more);
  if (target === undefined) {
    if (addresses.length === 0) throw usageError("a container or an address is missing");
    if (name === undefined) throw usageError("addresses without a container need a name: -h NAME");
    return { ident: EXTERN, addresses, name, isTyped: true, container: false };
  }
  const { ident, fqdn, container, addresses: attached } = await attachmentInfo(target);
  const found = { ident, name: name ?? fqdn, isTyped: name !== undefined, container };
  if (addresses.length > 0) return { ...found, addresses };
  if (attached.length === 0) throw new Exit(1, `${target} is not attached: it has no addresses on the overlay`);
  return { ...found, addresses: attached };
}
