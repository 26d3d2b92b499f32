import { usageError } from "#cli/support/exit.js";
import { takeNameArguments } from "#cli/support/name-arguments.js";
import { qualifiedName, register } from "#cli/support/registered-names.js";

/** `weave dns-add [ip…] <container|netns> [-h <name>]` or `weave dns-add ip… -h <name>`: registers a name. */
export async function run(args: readonly string[]): Promise<void> {
  const { ident, addresses, name, container } = await takeNameArguments("dns-add", args);
  if (name === undefined && !container) throw usageError("a namespace needs a name: -h NAME");
  // A container without a domain has no name in weaveDNS: nothing is registered, as in Weave Net.
  if (name !== undefined) await register(ident, addresses, await qualifiedName(name));
}
