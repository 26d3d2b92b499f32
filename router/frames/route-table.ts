import type { PeerName } from "#mesh/peer.js";
import type { Routes } from "#mesh/topology/routes.js";
import type { RouteTable } from "#router/datapath/protocol.js";
import { macNumber } from "#src/mac.js";

/**
 * Converts routes between peers for the frame threads: peers become numbers, neighbours become sessions.
 *
 * @param sessionOf the datapath session of a neighbour; undefined while frames do not pass
 */
export function frameRouteTable(routes: Routes, sessionOf: (peer: PeerName) => number | undefined): RouteTable {
  const unicast = new Map<number, number>();
  for (const [dest, via] of routes.unicasts()) {
    const session = sessionOf(via);
    if (session !== undefined) unicast.set(macNumber(dest), session);
  }
  const flood = new Map<number, number[]>();
  for (const source of routes.sources()) {
    const sessions = routes
      .flood(source)
      .map(sessionOf)
      .filter((session) => session !== undefined);
    if (sessions.length > 0) flood.set(macNumber(source), sessions);
  }
  return { unicast, flood, relays: relaysOf(routes) };
}

/** The peers whose frames can come through each neighbour. A neighbour's own frames need no entry. */
function relaysOf(routes: Routes): Map<number, number[]> {
  const relays = new Map<number, number[]>();
  for (const [source, neighbours] of routes.nearer())
    for (const neighbour of neighbours) {
      if (neighbour === source) continue;
      const key = macNumber(neighbour);
      const sources = relays.get(key);
      if (sources === undefined) relays.set(key, [macNumber(source)]);
      else sources.push(macNumber(source));
    }
  return relays;
}
