import { mustCall } from "./client.js";
import { usage } from "./exit.js";

/** `weave ipam explain [address|peer]`: who owns it, since when, and why. */
export async function run(args: readonly string[]): Promise<void> {
  const [word, what = "", ...more] = args;
  if (word !== "explain" || more.length > 0 || what.startsWith("-")) throw usage();
  process.stdout.write(await mustCall({ path: `/ipinfo/explain?${new URLSearchParams({ what })}` }));
}
