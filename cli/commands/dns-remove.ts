import { takeNameArguments } from "#cli/support/name-arguments.js";
import { qualified, unregister } from "#cli/support/registered-names.js";

/** `weave dns-remove [ip…] <container|netns> [-h <name>]` or `weave dns-remove ip… -h <name>` */
export async function run(args: readonly string[]): Promise<void> {
  const { ident, addresses, name, given } = await takeNameArguments("dns-remove", args);
  await unregister(ident, addresses, given && name !== undefined ? await qualified(name) : undefined);
}
