import { takeNameArguments } from "#cli/support/name-arguments.js";
import { qualifiedName, unregister } from "#cli/support/registered-names.js";

/** `weave dns-remove [ip…] <container|netns> [-h <name>]` or `weave dns-remove ip… -h <name>`: removes one name, or all. */
export async function run(args: readonly string[]): Promise<void> {
  const { ident, addresses, name, isTyped } = await takeNameArguments("dns-remove", args);
  await unregister(ident, addresses, isTyped && name !== undefined ? await qualifiedName(name) : undefined);
}
