import type { DialTarget } from "#mesh/dialling/schedule.js";
import type { Mesh } from "#mesh/mesh.js";
import { MAX_TARGETS, parseTarget, resolveHost } from "#router/peers/targets.js";
import { type Route, route } from "#router/route.js";
import { errorText, WeaveError } from "#src/errors.js";
import type { Answer } from "#src/http/answer.js";
import { hostOf } from "#src/net/host-port.js";

/** The routes that add and remove targets. @param ourPort port of a target without one */
export function peerRoutes(mesh: Mesh, ourPort: number): Route[] {
  return [
    route("POST /connect", async ({ form }) =>
      problemAnswer(await connect(mesh, ourPort, form.getAll("peer"), form.get("replace") === "true")),
    ),
    route("POST /forget", ({ form }) => problemAnswer(forget(mesh, form.getAll("peer")))),
  ];
}

const problemAnswer = (problems: readonly string[]): Answer =>
  problems.length === 0 ? {} : { status: 400, body: `${problems.join("\n")}\n` };

/**
 * Adds targets, and resolves their names.
 *
 * @returns a line for each invalid target, and for each name that cannot be resolved now: such a target is retried
 * @throws WEAVE_PEER_INVALID when there are too many targets
 */
async function connect(mesh: Mesh, ourPort: number, peers: readonly string[], replace: boolean): Promise<string[]> {
  const problems: string[] = [];
  const targets: DialTarget[] = [];
  for (const peer of peers) {
    try {
      targets.push(parseTarget(peer, ourPort));
    } catch (error) {
      problems.push(errorText(error));
    }
  }
  const kept = replace ? 0 : mesh.status().targets.length;
  if (kept + targets.length > MAX_TARGETS) {
    throw new WeaveError("WEAVE_PEER_INVALID", `a router has at most ${MAX_TARGETS} targets`, {
      next: "Peers find one another: one or two targets are enough. 'weave forget' drops some.",
    });
  }
  mesh.connect(targets, replace);
  const lookups = targets.map(({ address }) => resolveHost(hostOf(address)));
  for (const result of await Promise.allSettled(lookups))
    if (result.status === "rejected") problems.push(`${errorText(result.reason)}; it is tried again`);
  return problems;
}

/** Removes targets. @returns a line for each peer that is no target */
function forget(mesh: Mesh, peers: readonly string[]): string[] {
  const targets = new Set(mesh.status().targets.map(({ text }) => text));
  mesh.forget(peers);
  return peers
    .filter((peer) => !targets.has(peer))
    .map((peer) => `${JSON.stringify(peer.slice(0, 300))} is no target; 'weave status targets' lists them`);
}
