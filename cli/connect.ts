import { mustCall } from "./client.js";
import { usage } from "./exit.js";

/** `weave connect [--replace] [peer…]` */
export async function run(args: readonly string[]): Promise<void> {
  const replace = args[0] === "--replace";
  const peers = replace ? args.slice(1) : args;
  if (args.length === 0 || peers.some((peer) => peer.startsWith("-"))) throw usage();
  const form = new URLSearchParams(peers.map((peer): [string, string] => ["peer", peer]));
  if (replace) form.set("replace", "true");
  await mustCall({ method: "POST", path: "/connect", form });
}
