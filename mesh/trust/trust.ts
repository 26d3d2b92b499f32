import type { PeerIdentity, PeerName } from "#mesh/peer.js";
import { isSignedBy, type Verify } from "#mesh/signing.js";
import { Clones } from "#mesh/trust/clones.js";
import { type Conflict, Conflicts } from "#mesh/trust/conflicts.js";
import { type Exclusion, Exclusions, MAX_EXCLUDED_IDENTITIES } from "#mesh/trust/exclusions.js";
import { sameFingerprint } from "#mesh/trust/fingerprint.js";
import { type Pin, Pins } from "#mesh/trust/pins.js";
import { isRetirement, type Retirement } from "#mesh/trust/retirement.js";
import { Retirements } from "#mesh/trust/retirements.js";
import { memoryTrustStore, type TrustStore, TrustWriter } from "#mesh/trust/store.js";
import type { Clock } from "#src/clock.js";
import { Emitter } from "#src/emitter.js";
import { type Log, silentLog } from "#src/log.js";

/**
 * What a peer's name and identity are here:
 *
 * - `trusted`: the name is pinned to this identity
 * - `new`: the name has no pin
 * - `pinned-elsewhere`: the name is pinned to another identity
 * - `excluded`: `weave rekey --exclude` has excluded the identity
 * - `retired`: the identity has ended by `weave reset`, and is never accepted again
 */
export type Verdict = "trusted" | "new" | "pinned-elsewhere" | "excluded" | "retired";

/** A peer in the list of {@link Trust.list}. */
export interface Known extends Pin {
  readonly state: "reachable" | "away" | "excluded" | "conflict";
}

export interface TrustEvents {
  /** An identity is excluded, or has retired: its sessions end, its records are dropped. */
  revoked: [identity: string];
  /** A name has no pin any more: its next owner may be another identity. */
  forgotten: [name: PeerName];
  /** A retirement is new here, or another peer seems to lack it. */
  retirement: [retirement: Retirement];
  /** This peer has refused an identity, for the first time in a while. */
  conflict: [conflict: Conflict];
}

/** A run of a process with an identity. */
type Run = Pick<PeerIdentity, "name" | "nickname" | "identity" | "uid">;

/** The collaborators of a {@link Trust}. */
export interface TrustDeps {
  readonly self: { readonly name: PeerName; readonly nickname?: string; readonly identity: string };
  readonly clock: Clock;
  readonly store: TrustStore;
  readonly log?: Log;
}

/** How old the stored last sight of a reachable peer may be. */
const STALE_MS = 3_600_000;
/**
 * Which identity each name belongs to, at this peer: pinned at first sight, in memory and in the store, until the identity
 * retires or the operator forgets it. It also has the excluded and retired identities, and the conflicts that follow from all
 * these. Each peer decides alone: other peers cannot remove a pin.
 */
export class Trust {
  readonly events = new Emitter<TrustEvents>();
  readonly clones = new Clones();
  readonly conflicts: Conflicts;
  readonly #deps: TrustDeps;
  readonly #log: Log;
  readonly #pins: Pins;
  readonly #excluded: Exclusions;
  readonly #retired: Retirements;
  readonly #writer: TrustWriter;

  constructor(deps: TrustDeps) {
    const { pins, excluded, retired } = deps.store.load();
    this.#deps = deps;
    this.#log = deps.log ?? silentLog;
    this.#pins = new Pins(pins);
    this.#excluded = new Exclusions(excluded);
    this.#retired = new Retirements(deps.clock, retired);
    this.conflicts = new Conflicts(deps.clock);
    this.#writer = new TrustWriter(deps.store, deps.clock, (name) => this.#pins.get(name));
  }

  /** Decides about a peer that has proven its identity. It changes nothing. */
  judge({ name, identity }: Pick<PeerIdentity, "name" | "identity">): Verdict {
    if (this.#excluded.has(identity)) return "excluded";
    if (this.#retired.has(identity)) return "retired";
    const pinned = this.identityOf(name);
    if (pinned === undefined) return "new";
    return pinned === identity ? "trusted" : "pinned-elsewhere";
  }

  /**
   * Pins the name of a peer that {@link judge} has found `trusted` or `new`. Any other peer is ignored.
   *
   * @param direct whether this peer has a session with it
   */
  pin(peer: PeerIdentity, direct = false): void {
    const verdict = this.judge(peer);
    if (peer.name === this.#deps.self.name || (verdict !== "trusted" && verdict !== "new")) return;
    const others = this.#pins.namesOf(peer.identity).filter((name) => name !== peer.name);
    // The refused one has another name now.
    this.conflicts.end(
      ({ kind, name, refused }) => kind === "name" && name !== peer.name && refused.identity === peer.identity,
    );
    if (verdict === "new" && others.length > 0)
      this.#log.info("a peer has another name now", { peer: peer.name, nickname: peer.nickname, earlier: others });
    this.#writer.pinsChanged(this.#pins.see(peer, direct, this.#deps.clock.wall()));
  }

  /** Number of pins. */
  get size(): number {
    return this.#pins.size;
  }

  /** Returns the pin of a name. */
  get(name: PeerName): Pin | undefined {
    return this.#pins.get(name);
  }

  /** Returns the identity that a name belongs to, also of an absent peer and of this one. */
  identityOf(name: PeerName): string | undefined {
    const { self } = this.#deps;
    return name === self.name ? self.identity : this.#pins.get(name)?.identity;
  }

  isPresent(name: PeerName): boolean {
    return name === this.#deps.self.name || this.#pins.isPresent(name);
  }

  /** Records which peers are reachable. Must be called after each change. A peer with another identity than its name does not count. */
  present(peers: Iterable<Pick<PeerIdentity, "name" | "identity">>): void {
    const names = [...peers].filter(({ name, identity }) => this.#pins.get(name)?.identity === identity);
    const present = new Set(names.map(({ name }) => name));
    this.#writer.pinsChanged(this.#pins.setPresent(present, this.#deps.clock.wall(), STALE_MS));
  }

  /** Whether a peer's record may be used. One that may not is recorded as {@link refused}. */
  accepts(peer: PeerIdentity): boolean {
    const verdict = this.judge(peer);
    if (verdict === "trusted" || verdict === "new") return true;
    this.refused(peer);
    return false;
  }

  /**
   * Records that a peer was refused, for status, log and the other peers. Of an identity that has retired, the retirement is
   * repeated: the peer that still has its record lacks it.
   */
  refused(peer: PeerIdentity): void {
    const verdict = this.judge(peer);
    if (verdict === "retired") return this.repeatRetirement(peer.identity);
    if (verdict !== "pinned-elsewhere") return;
    this.#conflict({
      kind: "name",
      name: peer.name,
      kept: { nickname: this.#nickname(peer.name), identity: this.identityOf(peer.name)! },
      refused: { nickname: peer.nickname, identity: peer.identity },
      reporter: undefined,
    });
  }

  /**
   * Records a session with a run of an identity, and names two live machines that have it.
   *
   * @returns whether the run is a copy of a machine that is alive, and should be refused
   */
  isCopy(peer: Run): boolean {
    const verdict = this.clones.see(peer.identity, peer.uid);
    if (verdict === "returned" || verdict === "copy") this.cloned(peer);
    return verdict === "copy";
  }

  /** Records that the later of two records of an identity is of this run, and names two live machines that have it. */
  sawRecord(peer: Run): void {
    if (this.clones.seeRecord(peer.identity, peer.uid)) this.cloned(peer);
  }

  /** Records that two live machines have one identity. */
  cloned({ name, nickname, identity }: Pick<PeerIdentity, "name" | "nickname" | "identity">): void {
    const one = { nickname, identity };
    this.#conflict({ kind: "clone", name, kept: one, refused: one, reporter: undefined });
  }

  /** Whether an identity is excluded or has retired: it is never accepted. */
  isRevoked(identity: string): boolean {
    return this.#excluded.has(identity) || this.#retired.has(identity);
  }

  /** Excludes an identity, for ever or until {@link include} or {@link forget}. @param by the peer that demands it, for the log */
  exclude(identity: string, by?: string): void {
    if (identity === this.#deps.self.identity) return;
    const [name] = this.#pins.namesOf(identity);
    const nickname = (name && this.#pins.get(name)?.nickname) ?? "";
    const done = this.#excluded.add({ identity, name, nickname, at: Math.floor(this.#deps.clock.wall()) });
    if (done === "full") {
      const limit = MAX_EXCLUDED_IDENTITIES;
      this.#log.warn("a peer is not excluded: the list of exclusions is full", { identity, limit });
    }
    if (done !== "added") return;
    this.#log.warn("a peer is excluded", { peer: name, nickname, identity, by });
    this.#writer.save({ excluded: this.excluded() });
    this.events.emit("revoked", identity);
  }

  /** Ends the exclusion of an identity. */
  include(identity: string): void {
    if (!this.#excluded.remove(identity)) return;
    this.#log.info("a peer is excluded no more", { identity });
    this.#writer.save({ excluded: this.excluded() });
  }

  /**
   * Forgets the pin of a name, its conflicts, and the exclusion of its identity. The next identity with this name is pinned.
   *
   * @returns whether there was something to forget
   */
  forget(name: PeerName): boolean {
    const identity = this.#pins.get(name)?.identity;
    const excluded = this.#excluded.all().filter((each) => each.name === name || each.identity === identity);
    for (const each of excluded) this.include(each.identity);
    this.conflicts.end((conflict) => conflict.name === name);
    if (identity !== undefined) this.#unpin(name, identity);
    return identity !== undefined || excluded.length > 0;
  }

  /**
   * Handles a retirement that another peer has sent.
   *
   * @param verify what checks its signature
   * @returns `taken`: it is new here, and the event `retirement` was emitted; `unknown`: no identity that is known here
   */
  retire(retirement: Retirement, verify: Verify = isSignedBy): "taken" | "known" | "unknown" | "forged" {
    const { identity } = retirement;
    if (this.#retired.has(identity) || identity === this.#deps.self.identity) return "known";
    // Invented identities can retire in any number.
    const names = this.#pins.namesOf(identity);
    if (names.length === 0 && !this.#excluded.has(identity)) return "unknown";
    if (!isRetirement(retirement, verify)) return "forged";
    this.#retired.add(retirement);
    this.#writer.save({ retired: this.#retired.all() });
    this.#log.info("a peer has retired", { peer: retirement.name, nickname: retirement.nickname });
    this.conflicts.end(({ kept }) => kept.identity === identity);
    for (const name of names) this.#unpin(name, identity);
    this.events.emit("revoked", identity);
    this.repeatRetirement(identity);
    return "taken";
  }

  /**
   * Records a conflict that another peer has reported, which has signed its report.
   *
   * @returns whether the report counts: a peer that refuses the successor of a retired identity lacks the retirement
   */
  reported(conflict: Conflict & { readonly reporter: PeerName }): boolean {
    const { identity } = conflict.kept;
    if (this.#retired.has(identity)) this.repeatRetirement(identity);
    else this.#conflict(conflict);
    return !this.#retired.has(identity);
  }

  /** Sends the retirement of an identity again, if it has retired, for a peer that lacks it. At most once in a while. */
  repeatRetirement(identity: string): void {
    const retirement = this.#retired.takeRepetition(identity);
    if (retirement !== undefined) this.events.emit("retirement", retirement);
  }

  /** Returns the pins of a name, nickname or fingerprint, as a person types it. */
  find(who: string): Pin[] {
    const named = this.#pins.get(who);
    if (named !== undefined) return [named];
    return this.#pins.all().filter(({ nickname, identity }) => nickname === who || sameFingerprint(who, identity));
  }

  /** Returns all pins, by name. {@link excluded} has those excluded identities, too, whose names were never seen. */
  list(): Known[] {
    const names = new Set(this.conflicts.list().map(({ name }) => name));
    const wall = Math.floor(this.#deps.clock.wall());
    const pins = this.#pins.all().map((pin): Known => {
      const present = this.#pins.isPresent(pin.name);
      const state = this.#excluded.has(pin.identity)
        ? "excluded"
        : names.has(pin.name)
          ? "conflict"
          : present
            ? "reachable"
            : "away";
      return { ...pin, lastSeen: present ? wall : pin.lastSeen, state };
    });
    return pins.sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  excluded(): Exclusion[] {
    return this.#excluded.all();
  }

  /** Writes what is not written yet. Must be called before the store closes. */
  flush(): void {
    this.#writer.flush();
  }

  #nickname(name: PeerName): string {
    const { self } = this.#deps;
    return name === self.name ? (self.nickname ?? "") : (this.#pins.get(name)?.nickname ?? "");
  }

  #conflict(content: Conflict): void {
    const conflict = this.conflicts.note(content);
    if (conflict === undefined) return;
    this.#log.warn("an identity was refused", { ...conflict });
    this.events.emit("conflict", conflict);
  }

  #unpin(name: PeerName, identity: string): void {
    this.clones.forget(identity);
    if (!this.#pins.remove(name)) return;
    this.#writer.pinsChanged([name]);
    this.events.emit("forgotten", name);
  }
}

/** A trust in memory, for tests and for meshes whose pins need not survive. */
export const memoryTrust = (deps: Omit<TrustDeps, "store">): Trust => new Trust({ ...deps, store: memoryTrustStore() });
