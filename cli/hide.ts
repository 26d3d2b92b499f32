import { EXPOSED } from "#src/ident.js";
import { printAddresses, takeAddresses } from "./arguments.js";
import { mustCall } from "./client.js";
import { usage } from "./exit.js";
import { held, release } from "./ipam.js";
import { unregister } from "./names.js";

/** `weave hide [addr…]` */
export async function run(args: readonly string[]): Promise<void> {
  const { addresses: wanted, rest } = takeAddresses(args);
  if (rest.length > 0) throw usage();
  const addresses = await held(EXPOSED, wanted);
  for (const cidr of addresses) await mustCall({ method: "DELETE", path: `/expose/${cidr}` });
  await unregister(EXPOSED, addresses);
  await release(EXPOSED, addresses);
  printAddresses(addresses);
}
