import { call } from "./client.js";
import { usage } from "./exit.js";

/** `weave rmpeer [--force] <peer_id>…`: takes over the addresses of peers that are dead for good. */
export async function run(args: readonly string[]): Promise<void> {
  const force = args[0] === "--force";
  const peers = force ? args.slice(1) : args;
  if (peers.length === 0 || peers.some((peer) => peer.startsWith("-"))) throw usage();
  for (const peer of peers) {
    const path = `/peer/${encodeURIComponent(peer)}${force ? "?force=true" : ""}`;
    const { status, body } = await call({ method: "DELETE", path });
    if (status === 200) process.stdout.write(body);
    else {
      process.stderr.write(status === 404 ? "IP address allocation is off\n" : body);
      process.exitCode = 1;
    }
  }
}
