import { oneContainer, printAddresses, takeAddresses } from "#cli/support/address-arguments.js";
import { held, release } from "#cli/support/held-addresses.js";
import { readFlags } from "#cli/support/read-flags.js";
import { unregister } from "#cli/support/registered-names.js";
import { findTarget } from "#cli/support/target.js";
import { detachNamespace } from "#src/linux/netns/veth.js";
import { requireRoot } from "#src/root.js";

/** `weave detach [addr…] <container|netns>` */
export async function run(args: readonly string[]): Promise<void> {
  const { addresses: wanted, rest } = takeAddresses(args);
  const text = oneContainer(readFlags("detach", rest).words);
  requireRoot();
  const { ident, netns } = await findTarget(text);
  const addresses = await held(ident, wanted);
  await detachNamespace(netns, addresses);
  await unregister(ident, addresses);
  await release(ident, addresses);
  printAddresses(addresses);
}
