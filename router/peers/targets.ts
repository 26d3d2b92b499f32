import { lookup } from "node:dns/promises";
import * as z from "zod/mini";
import type { DialTarget } from "#mesh/dialling/schedule.js";
import { systemCode, WeaveError } from "#src/errors.js";
import { isAddress, isMalformedAddress, LOOKUP_FAMILY } from "#src/net/family.js";
import { type HostPort, hostPortText, ipv6Reason, parseHostPort } from "#src/net/host-port.js";
import { Semaphore } from "#src/semaphore.js";
import { readStored, type Store } from "#src/store.js";

const KEY = "directPeers";
/** Maximum number of targets of a router. */
export const MAX_TARGETS = 1_024;

const shape = z.array(z.object({ text: z.string() })).check(z.maxLength(MAX_TARGETS));

/** Maximum concurrent look-ups: each occupies one of Node's few worker threads until the name server answers. */
const LOOKUPS = 2;

/**
 * Parses `host[:port]`. Does not resolve the host.
 *
 * @throws WEAVE_PEER_INVALID
 */
export function parsePeer(text: string): HostPort {
  const peer = parseHostPort(text);
  if (peer === undefined || peer.host === "") {
    const why = ipv6Reason(text) ?? "should be host[:port]";
    throw new WeaveError("WEAVE_PEER_INVALID", `invalid peer name ${JSON.stringify(text.slice(0, 300))}, ${why}`);
  }
  if (isMalformedAddress(peer.host)) throw new WeaveError("WEAVE_PEER_INVALID", `lookup ${peer.host}: no such host`);
  return peer;
}

/**
 * Parses a target. A host name is kept, and resolved at each attempt.
 *
 * @param ourPort port of a target without one
 * @throws WEAVE_PEER_INVALID
 */
export function parseTarget(text: string, ourPort: number): DialTarget {
  const { host, port } = parsePeer(text);
  return { text, address: hostPortText(host, port ?? ourPort), port: port !== undefined };
}

const running = new Semaphore(LOOKUPS);

/** Resolves a name by the host's own configuration (hosts file, name servers). @throws WEAVE_PEER_INVALID */
export async function resolveHost(host: string): Promise<string[]> {
  if (isAddress(host)) return [host];
  try {
    const found = await running.run(() => lookup(host, { family: LOOKUP_FAMILY, all: true }));
    return found.map(({ address }) => address);
  } catch (cause) {
    const why = systemCode(cause) === "EAI_AGAIN" ? "the name server does not answer" : "no such host";
    throw new WeaveError("WEAVE_PEER_INVALID", `lookup ${host}: ${why}`, { cause });
  }
}

/** Loads the stored targets. @throws WEAVE_STORE */
export function loadTargets(store: Store, ourPort: number): DialTarget[] {
  const stored = readStored(store, KEY, shape, "Launch with the peers on the command line, without --resume.") ?? [];
  return stored.map(({ text }) => parseTarget(text, ourPort));
}

export function saveTargets(store: Store, targets: readonly DialTarget[]): void {
  store.put(
    KEY,
    targets.map(({ text }) => ({ text })),
  );
}
