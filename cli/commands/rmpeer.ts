import { call } from "#cli/support/client.js";
import { usageError } from "#cli/support/exit.js";
import { readFlags } from "#cli/support/read-flags.js";

/** `weave rmpeer [--force] <peer_id>…`: takes over the addresses of peers that are dead for good. */
export async function run(args: readonly string[]): Promise<void> {
  const { values, words: peers } = readFlags("rmpeer", args);
  if (peers.length === 0) throw usageError("a peer is missing: its name or nickname");
  for (const peer of peers) {
    const path = `/peer/${encodeURIComponent(peer)}${values.force ? "?force=true" : ""}`;
    const { status, body } = await call({ method: "DELETE", path });
    if (status === 200) process.stdout.write(body);
    else {
      process.stderr.write(status === 404 ? "IP address allocation is off\n" : body);
      process.exitCode = 1;
    }
  }
}
