import { needAddresses, printAddresses, takeAddresses } from "./arguments.js";
import { mustCall } from "./client.js";
import { Exit, usage } from "./exit.js";

/** `weave expose [addr…] [--without-masquerade]` */
export async function run(args: readonly string[]): Promise<void> {
  const { addresses, rest } = takeAddresses(args);
  if (rest.includes("-h")) throw new Exit(1, "'-h' needs weaveDNS, which this version does not have yet");
  if (rest.some((word) => word !== "--without-masquerade")) throw usage();
  needAddresses(addresses, "weave expose 10.32.0.1/12");
  const form = new URLSearchParams({ skipNAT: String(rest.length > 0) });
  for (const cidr of addresses) await mustCall({ method: "POST", path: `/expose/${cidr}`, form });
  printAddresses(addresses);
}
