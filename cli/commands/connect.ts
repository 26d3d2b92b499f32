import { networkInterfaces } from "node:os";
import { mustCall } from "#cli/support/client.js";
import { usageError } from "#cli/support/exit.js";
import { launchOptions } from "#cli/support/launched.js";
import { readFlags } from "#cli/support/read-flags.js";

/** Port of a router that was launched without `--port`. */
const DEFAULT_PORT = 6_783;

/** Whether `host[:port]` is the address of this host's own router. */
function isThisRouter(peer: string): boolean {
  const [host, port] = peer.split(":");
  const ours = launchOptions().port ?? DEFAULT_PORT;
  if (port !== undefined && Number(port) !== ours) return false;
  return (
    host === "localhost" ||
    Object.values(networkInterfaces()).some((each) => each?.some(({ address }) => address === host))
  );
}

/** `weave connect [--replace] [peer…]`: adds targets, or replaces the added ones. */
export async function run(args: readonly string[]): Promise<void> {
  const { values, words: peers } = readFlags("connect", args);
  if (peers.length === 0 && !values.replace) throw usageError("a peer is missing: its address or name");
  const form = new URLSearchParams(peers.map((peer): [string, string] => ["peer", peer]));
  if (values.replace) form.set("replace", "true");
  await mustCall({ method: "POST", path: "/connect", form });
  for (const peer of peers.filter(isThisRouter))
    process.stderr.write(`WARNING: ${peer} is this host itself; weave does not connect to itself.\n`);
}
