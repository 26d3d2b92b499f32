import * as z from "zod/mini";
import { MAX_AHEAD_MS } from "#mesh/counter.js";
import type { Gossiper } from "#mesh/gossip.js";
import {
  countShape,
  keyShape,
  nicknameOrNoneShape,
  type PeerIdentity,
  type PeerName,
  peerNameShape,
} from "#mesh/peer.js";
import { type Signer, signatureShape } from "#mesh/signing.js";
import type { Conflict } from "#mesh/trust/conflicts.js";
import { isRetirement, type Retirement, retire, retirementShape } from "#mesh/trust/retirement.js";
import type { Trust } from "#mesh/trust/trust.js";
import type { Clock } from "#src/clock.js";
import { decode, encode } from "#src/codec.js";
import { limitSize } from "#src/limit-size.js";
import { RateLimiter } from "#src/rate-limiter.js";

/** Name of the gossip channel. */
export const TRUST_CHANNEL = "trust";

/** A peer's report that it has refused an identity, signed by the identity of the reporting peer. */
export interface ConflictReport {
  readonly reporter: PeerName;
  readonly kind: "name" | "clone";
  readonly name: PeerName;
  readonly keptNickname: string;
  readonly kept: string;
  readonly refusedNickname: string;
  readonly refused: string;
  /** Network time in milliseconds. */
  readonly at: number;
  readonly signature: Uint8Array;
}

/** Maximum number of items in one message: each peer sends one. */
const MAX_ITEMS = 16;
/** Limit for the signatures that are checked for one neighbour: a hostile one can send any number of reports. */
const CHECKS = { perSecond: 20, burst: 100 };
/** Limit for the reports of one peer: a hostile peer that makes all peers refuse invented identities must not make them flood the network. */
const REPORTS = { perSecond: 0.2, burst: 8 };
/** Interval in which a retirement of an unknown identity is passed on once: shorter than that of its repetitions. */
const RELAY_AGAIN_MS = 5_000;
/** Maximum number of reports whose time is remembered, and of relayed retirements. */
const REMEMBERED = 1_024;

const reportShape = z.object({
  reporter: peerNameShape,
  kind: z.enum(["name", "clone"]),
  name: peerNameShape,
  keptNickname: nicknameOrNoneShape,
  kept: keyShape,
  refusedNickname: nicknameOrNoneShape,
  refused: keyShape,
  at: countShape,
  signature: signatureShape,
});
const messageShape = z.object({
  retirements: z.array(retirementShape).check(z.maxLength(MAX_ITEMS)),
  conflicts: z.array(reportShape).check(z.maxLength(MAX_ITEMS)),
});

interface Message {
  readonly retirements: readonly Retirement[];
  readonly conflicts: readonly ConflictReport[];
}

/** The collaborators of a {@link TrustGossip}. */
export interface TrustGossipDeps {
  readonly self: PeerName;
  readonly signer: Signer;
  readonly trust: Trust;
  readonly clock: Clock;
  /** Returns the network's time. */
  readonly time: () => number;
  /** Sends to some neighbours, which pass it on. */
  readonly gossip: (payload: Uint8Array) => void;
}

/**
 * Announces retirements and refused identities to all peers. An idle network sends nothing: a peer that lacks a retirement refuses
 * the successor, reports that, and receives the retirement from the peers that have it. While a peer refuses an identity, its
 * report is repeated with the repair of all gossip.
 */
export class TrustGossip implements Gossiper {
  readonly #deps: TrustGossipDeps;
  readonly #checks: RateLimiter;
  readonly #own: RateLimiter;
  /** Times of valid retirements of identities that are unknown here, by identity: each is passed on once in a while. */
  readonly #relayed = new Map<string, number>();
  readonly #reports = new WeakMap<Conflict, ConflictReport>();
  /** The time of the last report, by reporter and conflict: an earlier one is a repetition. */
  readonly #latest = new Map<string, number>();

  constructor(deps: TrustGossipDeps) {
    this.#deps = deps;
    this.#checks = new RateLimiter(deps.clock, CHECKS);
    this.#own = new RateLimiter(deps.clock, REPORTS);
    const { events } = deps.trust;
    events.on("retirement", (retirement) => deps.gossip(encode({ retirements: [retirement], conflicts: [] })));
    events.on("conflict", (conflict) => {
      if (conflict.reporter === undefined && !this.#isReported(conflict) && this.#own.admit(""))
        deps.gossip(encode({ retirements: [], conflicts: [this.#reportOf(conflict)] }));
    });
  }

  /** Announces that this peer's identity ends. The caller then stops for ever. */
  retire(peer: Pick<PeerIdentity, "name" | "nickname">): void {
    const { signer, clock, gossip } = this.#deps;
    gossip(encode({ retirements: [retire(peer, signer, clock.wall())], conflicts: [] }));
  }

  onUnicast(): void {}
  onBroadcast(): void {}

  /** @throws WEAVE_MESSAGE_MALFORMED */
  onGossip(_from: PeerName, payload: Uint8Array, neighbour: PeerName): Uint8Array | undefined {
    const { retirements, conflicts } = decode(messageShape, payload, "a message about identities") as Message;
    const news = {
      retirements: retirements.filter((each) => this.#takeRetirement(each, neighbour)),
      conflicts: conflicts.filter((each) => this.#takeReport(each, neighbour)),
    };
    return news.retirements.length + news.conflicts.length === 0 ? undefined : encode(news);
  }

  /** Returns the reports of this peer; undefined while there is no conflict. */
  state(): Uint8Array | undefined {
    const { trust } = this.#deps;
    const own = trust.conflicts.list().filter(({ reporter }) => reporter === undefined);
    if (own.length === 0) return undefined;
    return encode({ retirements: [], conflicts: own.slice(-MAX_ITEMS).map((conflict) => this.#reportOf(conflict)) });
  }

  /** Whether another peer has reported the conflict: a record that all peers refuse is reported by few. */
  #isReported({ kind, name, refused }: Conflict): boolean {
    const others = this.#deps.trust.conflicts.list().filter(({ reporter }) => reporter !== undefined);
    return others.some(
      (each) => each.kind === kind && each.name === name && each.refused.identity === refused.identity,
    );
  }

  /** Returns the signed report of a conflict; the same each time. */
  #reportOf(conflict: Conflict): ConflictReport {
    const known = this.#reports.get(conflict);
    if (known !== undefined) return known;
    const { self, signer, time } = this.#deps;
    const { kind, name, kept, refused } = conflict;
    const content = {
      reporter: self,
      kind,
      name,
      keptNickname: kept.nickname,
      kept: kept.identity,
      refusedNickname: refused.nickname,
      refused: refused.identity,
      at: Math.floor(time()),
    };
    const report = { ...content, signature: signer.sign("conflict", signedBytes(content)) };
    this.#reports.set(conflict, report);
    return report;
  }

  /** Handles a retirement. @returns whether it should be passed on; {@link Trust} passes on what is new here by its event */
  #takeRetirement(retirement: Retirement, neighbour: PeerName): boolean {
    const { trust, clock, signer } = this.#deps;
    if (!this.#checks.admit(neighbour) || trust.retire(retirement, signer.verify) !== "unknown") return false;
    const now = clock.now();
    const { identity } = retirement;
    if (now - (this.#relayed.get(identity) ?? Number.NEGATIVE_INFINITY) < RELAY_AGAIN_MS) return false;
    if (!isRetirement(retirement, signer.verify)) return false;
    // Other peers may have reported that they refuse the successor.
    trust.conflicts.end(({ kept }) => kept.identity === identity);
    this.#relayed.delete(identity);
    this.#relayed.set(identity, now);
    limitSize(this.#relayed, REMEMBERED);
    return true;
  }

  /** Handles a report. @returns whether it is new, and should be passed on */
  #takeReport(report: ConflictReport, neighbour: PeerName): boolean {
    const { self, trust, time, signer } = this.#deps;
    const { reporter, kind, name, kept, refused, at } = report;
    const known = trust.identityOf(reporter);
    // Others may still pass on what an excluded peer signs.
    if (known === undefined || trust.judge({ name: reporter, identity: known }) === "excluded") return false;
    if (reporter === self || Math.abs(time() - at) > MAX_AHEAD_MS) return false;
    const key = `${reporter} ${kind} ${name}`;
    // The same report again: the reporter lacks what was sent.
    if (at === this.#latest.get(key)) trust.repeatRetirement(kept);
    if (at <= (this.#latest.get(key) ?? 0) || !this.#checks.admit(neighbour)) return false;
    if (!signer.verify(known, "conflict", signedBytes(report), report.signature)) return false;
    this.#latest.delete(key);
    this.#latest.set(key, at);
    limitSize(this.#latest, REMEMBERED);
    if (this.#relayed.has(kept)) return false;
    return trust.reported({
      kind,
      name,
      kept: { nickname: report.keptNickname, identity: kept },
      refused: { nickname: report.refusedNickname, identity: refused },
      reporter,
    });
  }
}

function signedBytes(report: Omit<ConflictReport, "signature">): Uint8Array {
  const { reporter, kind, name, keptNickname, kept, refusedNickname, refused, at } = report;
  return Buffer.from(JSON.stringify([reporter, kind, name, keptNickname, kept, refusedNickname, refused, at]));
}
