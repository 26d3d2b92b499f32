import { needAddresses, printAddresses, takeAddresses } from "./arguments.js";
import { mustCall } from "./client.js";
import { usage } from "./exit.js";

/** `weave hide [addr…]` */
export async function run(args: readonly string[]): Promise<void> {
  const { addresses, rest } = takeAddresses(args);
  if (rest.length > 0) throw usage();
  needAddresses(addresses, "weave hide 10.32.0.1/12");
  for (const cidr of addresses) await mustCall({ method: "DELETE", path: `/expose/${cidr}` });
  printAddresses(addresses);
}
