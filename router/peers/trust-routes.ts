import type { Mesh } from "#mesh/mesh.js";
import { type PeerName, peerText } from "#mesh/peer.js";
import { fingerprint } from "#mesh/trust/fingerprint.js";
import type { Trust } from "#mesh/trust/trust.js";
import { identityReport, trustReport } from "#router/peers/trust-report.js";
import { NO_CONTENT, type Route, route } from "#router/route.js";
import { WeaveError } from "#src/errors.js";
import { jsonAnswer } from "#src/http/answer.js";

export interface TrustRoutesDeps {
  readonly mesh: Mesh;
  /** When the identity was made, in milliseconds since the Unix epoch. */
  readonly since: () => number;
  readonly password: () => boolean;
  /** Whether a peer of this name or nickname was ever seen. */
  readonly isKnown: (who: string) => boolean;
}

/** The routes of this peer's identity, and of the identities that it knows. */
export function trustRoutes({ mesh, since, password, isKnown }: TrustRoutesDeps): Route[] {
  return [
    route("GET /identity", () => jsonAnswer(identityReport(mesh, { since: since(), password: password() }))),
    route("POST /identity/retire", () => {
      mesh.retire();
      return NO_CONTENT;
    }),
    route("GET /trust", () => jsonAnswer(trustReport(mesh))),
    route("DELETE /trust/:who", ({ params: { who } }) => {
      const { name, nickname } = mesh.status().self;
      if (who === name || (who === nickname && mesh.trust.find(who).length === 0))
        throw new WeaveError("WEAVE_PEER_INVALID", `${quoted(who)} is this peer itself`, {
          next: "'weave reset' ends its identity; on other hosts 'weave trust forget' drops what they know of it.",
        });
      return { body: `${forget(mesh.trust, who, isKnown)}\n` };
    }),
  ];
}

/**
 * Forgets the pin and the exclusion of a peer.
 *
 * @param who name, nickname or fingerprint
 * @returns what was done, for the operator; the second call finds nothing to do
 * @throws WEAVE_PEER_INVALID for an unknown peer, and for a nickname of several
 */
function forget(trust: Trust, who: string, isKnown: (who: string) => boolean): string {
  const pins = trust.find(who);
  const excluded = trust.excluded().filter(({ name, nickname }) => name === who || nickname === who);
  const names = new Set([...pins.map(({ name }) => name), ...excluded.flatMap(({ name }) => name ?? [])]);
  if (names.size > 1)
    throw new WeaveError("WEAVE_PEER_INVALID", `several peers are called ${quoted(who)}: ${[...names].join(", ")}`, {
      next: "Give the name of one of them, or its fingerprint; 'weave trust' shows both.",
    });
  const [name] = names;
  if (name !== undefined) return forgetOne(trust, name, pins[0]?.nickname ?? excluded[0].nickname);
  if (isKnown(who) || trust.conflicts.list().some((conflict) => conflict.name === who))
    return `${who} is not pinned here: the next peer with this name is accepted, with any identity.`;
  throw new WeaveError("WEAVE_PEER_INVALID", `no peer is called ${quoted(who)}`, {
    next: "'weave trust' lists the peers that are known here.",
  });
}

function forgetOne(trust: Trust, name: PeerName, nickname: string): string {
  const before = trust.excluded().length;
  trust.forget(name);
  const who = peerText({ name, nickname });
  const again = trust.get(name);
  const included = trust.excluded().length < before ? " It is excluded no more." : "";
  return again === undefined
    ? `${who} is forgotten: the next peer with this name is accepted, with any identity.${included}`
    : `${who} is reachable, and its name belongs to its identity ${fingerprint(again.identity)} again.${included}`;
}

const quoted = (who: string): string => JSON.stringify(who.slice(0, 300));
