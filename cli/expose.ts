import { printAddresses, takeAddresses, takeTimeout } from "./arguments.js";
import { mustCall } from "./client.js";
import { Exit, usage } from "./exit.js";
import { EXPOSED, obtain } from "./ipam.js";

/** `weave expose [addr…] [--without-masquerade] [--timeout seconds]` */
export async function run(args: readonly string[]): Promise<void> {
  const { addresses: wanted, rest } = takeAddresses(args);
  const { timeout, rest: words } = takeTimeout(rest);
  if (words.includes("-h")) throw new Exit(1, "'-h' needs weaveDNS, which this version does not have yet");
  if (words.some((word) => word !== "--without-masquerade")) throw usage();
  const form = new URLSearchParams({ skipNAT: String(words.length > 0) });
  const { addresses, undo } = await obtain(EXPOSED, wanted, { container: false, timeout });
  try {
    for (const cidr of addresses) await mustCall({ method: "POST", path: `/expose/${cidr}`, form });
  } catch (error) {
    await undo();
    throw error;
  }
  printAddresses(addresses);
}
