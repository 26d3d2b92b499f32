import { detachNamespace } from "#src/linux/netns/veth.js";
import { oneContainer, printAddresses, takeAddresses } from "./arguments.js";
import { held, release } from "./ipam.js";
import { unregister } from "./names.js";
import { readFlags } from "./read-flags.js";
import { needRoot } from "./root.js";
import { findTarget } from "./target.js";

/** `weave detach [addr…] <container|netns>` */
export async function run(args: readonly string[]): Promise<void> {
  const { addresses: wanted, rest } = takeAddresses(args);
  const text = oneContainer(readFlags("detach", rest).words);
  needRoot();
  const { ident, netns } = await findTarget(text);
  const addresses = await held(ident, wanted);
  await detachNamespace(netns, addresses);
  await unregister(ident, addresses);
  await release(ident, addresses);
  printAddresses(addresses);
}
