import { MAX_PEERS, type PeerName } from "#mesh/peer.js";
import type { Head } from "#mesh/replica/head.js";
import type { RecordSet } from "#mesh/replica/record-set.js";
import {
  MAX_SET_MESSAGE_BYTES,
  type ReplicaMessage,
  recordBytes,
  STATE_OVERHEAD_BYTES,
  type StateMessage,
} from "#mesh/replica/replica-message.js";
import type { Clock, Timer } from "#src/clock.js";

/** Bytes of a message that its states may take: the rest is the frame of the message. */
const STATES_BYTES = MAX_SET_MESSAGE_BYTES - 64;
/** Messages that are sent at once, and the pause after them: at most 12 MB/s. */
const BURST = 4;
const PAUSE_MS = 20;
/** Pause after a message that the next hop could not take, and the number of such pauses after which an answer is given up. */
const CONGESTED_MS = 200;
const MAX_CONGESTED = 150;
/** Maximum number of peers that wait for an answer; the one that waits longest is dropped. */
const MAX_WAITING = 256;
/**
 * Maximum number of origins that wait, of all these peers together: some megabytes. A new peer waits for at most all of the
 * network's, which are sixteen times fewer.
 */
const MAX_WAITING_ORIGINS = 16 * MAX_PEERS;

/** The states for one peer. */
interface Waiting {
  /** Origins, and the version that the peer has of each; 0 for none. */
  origins: Map<PeerName, number>;
  /** The state that is sent in parts, as far as it was sent. */
  current: { readonly head: Head; readonly since: number; part: number; after: number } | undefined;
  congested: number;
}

export interface AnswersDeps<F> {
  readonly clock: Clock;
  readonly set: RecordSet<F>;
  /** Signs this peer's latest changes. */
  readonly sign: () => void;
  /** Sends a message. @returns false when the next hop is too slow now */
  readonly send: (to: PeerName, message: ReplicaMessage) => boolean;
}

/**
 * Sends states that other peers lack, in messages of at most {@link MAX_SET_MESSAGE_BYTES}, a few at a time, and only as fast as
 * the next hop takes them. Waiting answers are names and versions: a peer that asks for everything, and reads nothing, takes no
 * memory.
 */
export class Answers<F> {
  readonly #deps: AnswersDeps<F>;
  readonly #waiting = new Map<PeerName, Waiting>();
  /** The sum of the origins that wait. */
  #origins = 0;
  #timer: Timer | undefined;

  constructor(deps: AnswersDeps<F>) {
    this.#deps = deps;
  }

  /** Sends the changes of an origin after a version. */
  add(to: PeerName, origin: PeerName, since: number): void {
    const waiting: Waiting = this.#waiting.get(to) ?? { origins: new Map(), current: undefined, congested: 0 };
    const before = waiting.origins.size;
    waiting.origins.set(origin, Math.min(since, waiting.origins.get(origin) ?? since));
    this.#origins += waiting.origins.size - before;
    this.#waiting.set(to, waiting);
    while (this.#waiting.size > MAX_WAITING) this.forget(this.#waiting.keys().next().value!);
    while (this.#origins > MAX_WAITING_ORIGINS) this.forget(this.#largest());
    this.#timer ??= this.#deps.clock.after(0, () => this.#turn());
  }

  stop(): void {
    this.#timer?.cancel();
    this.#waiting.clear();
    this.#origins = 0;
  }

  /** Number of the origins that wait, of all peers together. */
  get size(): number {
    return this.#origins;
  }

  /** Drops the states that wait for a peer. */
  forget(peer: PeerName): void {
    this.#origins -= this.#waiting.get(peer)?.origins.size ?? 0;
    this.#waiting.delete(peer);
  }

  /** The peer that waits for most: the others, which ask for less, keep their turn. */
  #largest(): PeerName {
    let [[largest, { origins }]] = this.#waiting;
    for (const [peer, waiting] of this.#waiting)
      if (waiting.origins.size > origins.size) [largest, origins] = [peer, waiting.origins];
    return largest;
  }

  #turn(): void {
    this.#timer = undefined;
    this.#deps.sign();
    let isCongested = true;
    for (let sent = 0; sent < BURST; sent++) {
      const [next] = this.#waiting;
      if (next === undefined) return;
      const [to, waiting] = next;
      // Behind the others, so that all have their turn.
      this.forget(to);
      const done = this.#sendNext(to, waiting);
      if (!done && waiting.congested < MAX_CONGESTED) {
        this.#waiting.set(to, waiting);
        this.#origins += waiting.origins.size;
      }
      if (waiting.congested === 0) isCongested = false;
    }
    if (this.#waiting.size === 0) return;
    this.#timer = this.#deps.clock.after(isCongested ? CONGESTED_MS : PAUSE_MS, () => this.#turn());
  }

  /** Sends the next message to a peer. @returns whether it was the last one */
  #sendNext(to: PeerName, waiting: Waiting): boolean {
    const before = waiting.current === undefined ? undefined : { ...waiting.current };
    const states: StateMessage[] = [];
    const taken: [PeerName, number][] = [];
    let room = STATES_BYTES;
    while (room > STATE_OVERHEAD_BYTES) {
      const [next] = waiting.origins;
      if (next === undefined) break;
      const state = this.#part(waiting, next[0], next[1], room);
      if (state === "later") {
        waiting.current = undefined;
        break;
      }
      if (state !== undefined) {
        states.push(state);
        room -= STATE_OVERHEAD_BYTES + state.records.reduce((sum, raw) => sum + recordBytes(raw), 0);
        if (state.part?.isLast === false) break;
      }
      waiting.origins.delete(next[0]);
      waiting.current = undefined;
      taken.push(next);
    }
    if (states.length > 0 && !this.#deps.send(to, { kind: "states", states })) {
      waiting.congested++;
      waiting.current = before;
      waiting.origins = new Map([...taken, ...waiting.origins]);
      return false;
    }
    waiting.congested = 0;
    return waiting.origins.size === 0;
  }

  /** Returns the next part of an origin's state; undefined when there is none, `later` when it does not fit into this message. */
  #part(waiting: Waiting, origin: PeerName, wanted: number, room: number): StateMessage | "later" | undefined {
    const state = this.#deps.set.get(origin);
    if (state === undefined) return undefined;
    const { head, records } = state;
    if (waiting.current?.head !== head) {
      const since = wanted < head.horizon || wanted >= head.version ? 0 : wanted;
      waiting.current = { head, since, part: 0, after: since };
    }
    const { current } = waiting;
    const { origin: _, hash, ...signed } = head;
    const message = { ...signed, origin, since: current.since };
    const raws: string[] = [];
    let left = room - STATE_OVERHEAD_BYTES;
    for (const { raw, record } of records.since(current.after)) {
      left -= recordBytes(raw);
      if (left < 0) {
        // A state that can be sent as a whole in the next message is not cut.
        if (current.part === 0 && room < STATES_BYTES) return "later";
        return { ...message, records: raws, part: { number: current.part++, isLast: false, hash } };
      }
      raws.push(raw);
      current.after = record.version;
    }
    const part = current.part === 0 ? {} : { part: { number: current.part, isLast: true, hash } };
    return { ...message, records: raws, ...part };
  }
}
