import { detach } from "#src/host/attach.js";
import { findNetns } from "#src/host/netns.js";
import { needAddresses, printAddresses, takeAddresses } from "./arguments.js";
import { usage } from "./exit.js";
import { needRoot } from "./root.js";

/** `weave detach [addr…] <netns>` */
export async function run(args: readonly string[]): Promise<void> {
  const { addresses, rest } = takeAddresses(args);
  const [target, ...more] = rest;
  if (target === undefined || more.length > 0 || target.startsWith("-")) throw usage();
  needRoot();
  needAddresses(addresses, `weave detach 10.32.0.1/12 ${target}`);
  await detach(findNetns(target), addresses);
  printAddresses(addresses);
}
