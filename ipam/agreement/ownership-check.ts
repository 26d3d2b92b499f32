import type { Participants } from "#ipam/agreement/participants.js";
import type { RingState } from "#ipam/agreement/ring-state.js";
import type { MessageSender } from "#ipam/wire/message-sender.js";
import type { KnownPeers, PeerName } from "#mesh/peer.js";
import type { Clock } from "#src/clock.js";
import type { Log } from "#src/log.js";
import type { Random } from "#src/random.js";

/** Longest duration of a check: the other peers may all be down, and containers wait for addresses. */
const LONGEST_MS = 5_000;
/** Shortest duration of a check: after a start, the mesh needs some time to connect to all reachable peers. */
const SETTLE_MS = 500;
/** Interval between requests to a peer that has not answered. */
const REPEAT_MS = 500;
/** Interval at which the progress of a check is examined. */
const ADVANCE_MS = 100;

export interface OwnershipCheckDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly peers: KnownPeers;
  readonly sender: MessageSender;
  readonly state: RingState;
  readonly participants: Participants;
  /** Called when a check ends. */
  readonly onEnd: () => void;
}

/**
 * The check of this peer's own spans before it allocates after a start: an operator may have removed this peer, or its disk may
 * be old or new. The spans are sent to each reachable peer, and the answers contain newer versions of them.
 */
export class OwnershipCheck {
  readonly #deps: OwnershipCheckDeps;
  #id = 0;
  #began = 0;
  #sent = 0;
  /** Peers that have answered; undefined while no check runs. */
  #answered: Set<PeerName> | undefined;
  /** Whether the last check got no answer: addresses allocated since may conflict with unreachable peers. */
  unconfirmed = false;

  constructor(deps: OwnershipCheckDeps) {
    this.#deps = deps;
  }

  /** Whether a check is in progress: nothing may be allocated. */
  get running(): boolean {
    return this.#answered !== undefined;
  }

  /** Begins a check, in place of a running one. */
  begin(): void {
    const { clock, random } = this.#deps;
    this.#id = random.below(2 ** 32);
    this.#began = clock.now();
    this.#sent = Number.NEGATIVE_INFINITY;
    this.#answered = new Set();
    this.#advance();
  }

  /** Records an answer, whose spans are already merged. @param id of the request */
  answered(from: PeerName, id: number): void {
    this.unconfirmed = false;
    if (id !== this.#id || this.#answered === undefined) return;
    this.#answered.add(from);
  }

  #advance(): void {
    const answered = this.#answered;
    if (answered === undefined) return;
    const { clock, peers, participants, log, onEnd } = this.#deps;
    const now = clock.now();
    const reachable = peers.reachable();
    const missing = [...participants.all()].filter((peer) => reachable.has(peer) && !answered.has(peer));
    const all = missing.length === 0 && answered.size > 0 && now - this.#began >= SETTLE_MS;
    if (all || now - this.#began >= LONGEST_MS) {
      this.#answered = undefined;
      this.unconfirmed = answered.size === 0;
      if (this.unconfirmed)
        log.warn("no other peer has confirmed this peer's addresses; they are allocated all the same");
      onEnd();
      return;
    }
    if (now - this.#sent >= REPEAT_MS)
      this.#send(
        [...reachable].filter((peer) => !answered.has(peer)),
        now,
      );
    clock.after(ADVANCE_MS, () => this.#advance());
  }

  #send(missing: readonly PeerName[], now: number): void {
    const { state, sender } = this.#deps;
    const { ring, own } = state;
    if (ring === undefined || missing.length === 0) return;
    this.#sent = now;
    for (const peer of missing) sender.unicast(peer, { kind: "agree", ring: ring.id, id: this.#id, spans: own });
  }
}
