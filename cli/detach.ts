import { detach } from "#src/host/attach.js";
import { findNetns, netnsIdent } from "#src/host/netns.js";
import { printAddresses, takeAddresses } from "./arguments.js";
import { usage } from "./exit.js";
import { held, release } from "./ipam.js";
import { unregister } from "./names.js";
import { needRoot } from "./root.js";

/** `weave detach [addr…] <netns>` */
export async function run(args: readonly string[]): Promise<void> {
  const { addresses: wanted, rest } = takeAddresses(args);
  const [target, ...more] = rest;
  if (target === undefined || more.length > 0 || target.startsWith("-")) throw usage();
  needRoot();
  const netns = findNetns(target);
  const addresses = await held(netnsIdent(netns), wanted);
  await detach(netns, addresses);
  await unregister(netnsIdent(netns), addresses);
  await release(netnsIdent(netns), addresses);
  printAddresses(addresses);
}
