import type { PeerName } from "#mesh/peer.js";
import type { Routes } from "#mesh/routes.js";
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
  return { unicast, flood };
}
