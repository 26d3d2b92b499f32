import { EXPOSED } from "#src/ident.js";
import { printAddresses, takeAddresses } from "./arguments.js";
import { mustCall } from "./client.js";
import { noMore } from "./exit.js";
import { held, release } from "./ipam.js";
import { unregister } from "./names.js";
import { readFlags } from "./read-flags.js";

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
