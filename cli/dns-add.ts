import { usage } from "./exit.js";
import { takeNameArguments } from "./name-arguments.js";
import { qualified, register } from "./names.js";

/** `weave dns-add [ip…] <netns> -h <name>` or `weave dns-add ip… -h <name>` */
export async function run(args: readonly string[]): Promise<void> {
  const { ident, addresses, name } = await takeNameArguments(args);
  // A namespace has no name of its own to fall back on.
  if (name === undefined) throw usage();
  await register(ident, addresses, await qualified(name));
}
