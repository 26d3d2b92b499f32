import { printAddresses, takeAddresses } from "#cli/support/address-arguments.js";
import { mustCall } from "#cli/support/client.js";
import { noMore } from "#cli/support/exit.js";
import { held, release } from "#cli/support/held-addresses.js";
import { readFlags } from "#cli/support/read-flags.js";
import { unregister } from "#cli/support/registered-names.js";
import { EXPOSED } from "#src/ident.js";

/** `weave hide [addr…]` */
export async function run(args: readonly string[]): Promise<void> {
  const { addresses: wanted, rest } = takeAddresses(args);
  noMore(readFlags("hide", rest).words);
  const addresses = await held(EXPOSED, wanted);
  for (const cidr of addresses) await mustCall({ method: "DELETE", path: `/expose/${cidr}` });
  await unregister(EXPOSED, addresses);
  await release(EXPOSED, addresses);
  printAddresses(addresses);
}
