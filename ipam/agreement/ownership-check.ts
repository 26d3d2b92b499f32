import type { RingState } from "#ipam/agreement/ring-state.js";
import type { Surroundings } from "#ipam/surroundings.js";
import type { PeerName } from "#mesh/peer.js";

/** A peer that hears nobody goes on after this long: the others may all be down, and its containers wait. */
const LONGEST_MS = 5_000;
/** Where one peer is within reach the others soon are: the mesh tells. */
const SETTLE_MS = 500;
const REPEAT_MS = 500;

/**
 * A peer that was away hears what the others know of its own part of the ring, before it hands anything out: it may have
 * been removed meanwhile, or its disk may be an old one, or a new one. It shows its spans to every peer within reach;
 * their answers bring what they know better.
 */
export class OwnershipCheck {
  readonly #env: Surroundings;
  readonly #state: RingState;
  readonly #participants: () => ReadonlySet<PeerName>;
  readonly #over: () => void;
  #id = 0;
  #began = 0;
  #asked = 0;
  #answered: Set<PeerName> | undefined;

  /** @param over called when it ends */
  constructor(env: Surroundings, state: RingState, participants: () => ReadonlySet<PeerName>, over: () => void) {
    this.#env = env;
    this.#state = state;
    this.#participants = participants;
    this.#over = over;
  }

  /** Whether the last one ended without any answer: what was not heard may be held against what is handed out now. */
  unheard = false;

  get running(): boolean {
    return this.#answered !== undefined;
  }

  begin(): void {
    const { clock, random } = this.#env;
    this.#id = random.below(2 ** 32);
    this.#began = clock.now();
    this.#asked = Number.NEGATIVE_INFINITY;
    this.#answered = new Set();
    this.#look();
  }

  answered(from: PeerName, id: number): void {
    this.unheard = false;
    if (id !== this.#id || this.#answered === undefined) return;
    this.#answered.add(from);
  }

  #look(): void {
    const answered = this.#answered;
    if (answered === undefined) return;
    const { clock, peers } = this.#env;
    const now = clock.now();
    const reachable = peers.reachable();
    const missing = [...this.#participants()].filter((peer) => reachable.has(peer) && !answered.has(peer));
    const all = missing.length === 0 && answered.size > 0 && now - this.#began >= SETTLE_MS;
    if (all || now - this.#began >= LONGEST_MS) {
      this.#answered = undefined;
      this.unheard = answered.size === 0;
      if (this.unheard) this.#env.log.warn("no other peer was heard; addresses are handed out all the same");
      this.#over();
      return;
    }
    if (now - this.#asked >= REPEAT_MS)
      this.#ask(
        [...reachable].filter((peer) => !answered.has(peer)),
        now,
      );
    clock.after(SETTLE_MS / 5, () => this.#look());
  }

  #ask(missing: readonly PeerName[], now: number): void {
    const { ring, own } = this.#state;
    if (ring === undefined || missing.length === 0) return;
    this.#asked = now;
    for (const peer of missing) this.#env.unicast(peer, { kind: "agree", ring: ring.id, id: this.#id, spans: own });
  }
}
