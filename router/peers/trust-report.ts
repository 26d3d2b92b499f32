import type { Mesh } from "#mesh/mesh.js";
import { peerText } from "#mesh/peer.js";
import { fingerprint } from "#mesh/trust/fingerprint.js";
import type { Known } from "#mesh/trust/trust.js";

/** This peer's own identity, with field names in the style of Weave Net's report. */
export interface IdentityReport {
  readonly Name: string;
  readonly NickName: string;
  /** For people to compare: mesh/trust/fingerprint.ts. */
  readonly Fingerprint: string;
  /** Ed25519 public key, 64 hexadecimal digits. */
  readonly Identity: string;
  /** X25519 public key of sessions, 64 hexadecimal digits. */
  readonly Key: string;
  /** ISO 8601; when the identity was made. */
  readonly Since: string;
  /** Whether peers must prove that they know a password. */
  readonly Password: boolean;
  /** Conflicts of this peer's own name and identity. */
  readonly Conflicts: readonly string[];
}

/** A peer that is pinned here. */
export interface PinReport {
  readonly Name: string;
  readonly NickName: string;
  readonly Fingerprint: string;
  readonly Identity: string;
  /** ISO 8601. */
  readonly FirstSeen: string;
  readonly LastSeen: string;
  /** `direct`: this peer had a session with it; `gossip`: it knows a record that the identity has signed. */
  readonly How: "direct" | "gossip";
  readonly State: Known["state"];
}

/** The pins of this peer, and what it does not accept. */
export interface TrustReport {
  readonly Pins: readonly PinReport[];
  /** Excluded identities without a pin. */
  readonly Excluded: readonly { readonly Name: string; readonly NickName: string; readonly Fingerprint: string }[];
  readonly Conflicts: readonly string[];
}

export function identityReport(
  mesh: Mesh,
  { since, password }: { readonly since: number; readonly password: boolean },
): IdentityReport {
  const { self, ownConflicts } = mesh.status();
  return {
    Name: self.name,
    NickName: self.nickname,
    Fingerprint: fingerprint(self.identity),
    Identity: self.identity,
    Key: self.key,
    Since: timeText(since),
    Password: password,
    Conflicts: ownConflicts,
  };
}

export function trustReport(mesh: Mesh): TrustReport {
  const { trust } = mesh;
  const pins = trust.list();
  const pinned = new Set(pins.map(({ identity }) => identity));
  return {
    Pins: pins.map(pinReport),
    Excluded: trust
      .excluded()
      .filter(({ identity }) => !pinned.has(identity))
      .map(({ name = "", nickname, identity }) => ({
        Name: name,
        NickName: nickname,
        Fingerprint: fingerprint(identity),
      })),
    Conflicts: mesh.status().conflicts,
  };
}

/** Excluded peers, for status. */
export const excludedPeers = (mesh: Mesh): string[] =>
  mesh.trust
    .excluded()
    .map(({ name, nickname, identity }) => (name === undefined ? fingerprint(identity) : peerText({ name, nickname })));

function pinReport({ name, nickname, identity, firstSeen, lastSeen, direct, state }: Known): PinReport {
  return {
    Name: name,
    NickName: nickname,
    Fingerprint: fingerprint(identity),
    Identity: identity,
    FirstSeen: timeText(firstSeen),
    LastSeen: timeText(lastSeen),
    How: direct ? "direct" : "gossip",
    State: state,
  };
}

/** ISO 8601 without fractions of a second. */
const timeText = (wall: number): string => new Date(wall).toISOString().replace(/\.\d+Z$/, "Z");
