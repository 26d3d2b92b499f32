import { lookup } from "node:dns/promises";
import { z } from "zod/mini";
import type { Target } from "#mesh/connection-maker.js";
import { isIpv4 } from "#src/address.js";
import { WeaveError } from "#src/errors.js";
import { isPort } from "#src/flag-shapes.js";
import { readStored, type Store } from "#src/store.js";

const KEY = "directPeers";
/** Peers one call may name, and targets a router may have. */
export const MAX_TARGETS = 1_024;

const shape = z
  .array(z.object({ text: z.string(), address: z.string(), port: z.boolean() }))
  .check(z.maxLength(MAX_TARGETS));

/**
 * Reads `host[:port]`. Whether the host exists is found out by resolving it.
 *
 * @throws WEAVE_PEER_INVALID
 */
export function parsePeer(text: string): { readonly host: string; readonly port: number | undefined } {
  const match = /^([^\s:/]{1,253})(?::(\d{1,5}))?$/.exec(text);
  if (match === null || !(match[2] === undefined || isPort(match[2]))) {
    throw new WeaveError(
      "WEAVE_PEER_INVALID",
      `invalid peer name ${JSON.stringify(text.slice(0, 300))}, should be host[:port]`,
    );
  }
  return { host: match[1], port: match[2] === undefined ? undefined : Number(match[2]) };
}

/**
 * Resolves `host[:port]` once, as Weave Net does.
 *
 * @param ourPort taken where no port is given
 * @throws WEAVE_PEER_INVALID
 */
export async function resolveTarget(text: string, ourPort: number): Promise<Target> {
  const { host, port } = parsePeer(text);
  return { text, address: `${await resolve(host)}:${port ?? ourPort}`, port: port !== undefined };
}

async function resolve(host: string): Promise<string> {
  if (isIpv4(host)) return host;
  // All digits and dots, and no address: a name server would be asked in vain.
  if (/^[\d.]+$/.test(host)) throw new WeaveError("WEAVE_PEER_INVALID", `lookup ${host}: no such host`);
  try {
    return (await lookup(host, { family: 4 })).address;
  } catch (cause) {
    throw new WeaveError("WEAVE_PEER_INVALID", `lookup ${host}: no such host`, { cause });
  }
}

/** @throws WEAVE_STORE */
export function loadTargets(store: Store): Target[] {
  return readStored(store, KEY, shape, "Launch with the peers on the command line, without --resume.") ?? [];
}

export function saveTargets(store: Store, targets: readonly Target[]): void {
  store.put(
    KEY,
    targets.map(({ text, address, port }) => ({ text, address, port })),
  );
}
