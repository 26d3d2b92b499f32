import { printDocument } from "#cli/json/document.js";
import { call } from "#cli/support/client.js";
import { usageError } from "#cli/support/exit.js";
import { readFlags } from "#cli/support/read-flags.js";

/** `weave rmpeer [--force] <peer_id>…`: takes over the addresses of peers that are dead for good. */
export async function run(args: readonly string[]): Promise<void> {
  const { values, words: peers } = readFlags("rmpeer", args);
  if (peers.length === 0) throw usageError("a peer is missing: its name or nickname");
  const results: { Peer: string; Addresses: number | null; Error: string | null }[] = [];
  for (const peer of peers) {
    const path = `/peer/${encodeURIComponent(peer)}${values.force ? "?force=true" : ""}`;
    const { status, body } = await call({ method: "DELETE", path });
    const why = status === 404 ? "IP address allocation is off\n" : body;
    if (status !== 200) process.exitCode = 1;
    results.push({
      Peer: peer,
      Addresses: status === 200 ? Number.parseInt(body, 10) : null,
      Error: status === 200 ? null : why.trimEnd(),
    });
    if (values.json) continue;
    if (status === 200) process.stdout.write(body);
    else process.stderr.write(why);
  }
  if (values.json) printDocument("rmpeer", { Peers: results });
}
