import type { PeerName } from "#mesh/peer.js";
import type { Clock } from "#src/clock.js";

/** One side of a conflict. */
export interface Claimant {
  readonly nickname: string;
  /** Ed25519 public key, 64 hexadecimal digits. */
  readonly identity: string;
}

/** Two machines that use one name (`name`), or one identity (`clone`). */
export interface Conflict {
  readonly kind: "name" | "clone";
  readonly name: PeerName;
  /** The side that keeps the name at the peer that reports the conflict. */
  readonly kept: Claimant;
  readonly refused: Claimant;
  /** The peer that reports it; undefined: this one. */
  readonly reporter: PeerName | undefined;
}

/** A conflict, and the monotonic milliseconds of its last refusal and of its last report. */
interface Noted {
  readonly conflict: Conflict;
  at: number;
  readonly reportedAt: number;
}

/** Age at which a conflict is over: a twin that still dials has been refused again within this time (`LONGEST_DIAL_RETRY_MS`). */
const CONFLICT_SHOWN_MS = 15 * 60_000;
/** Shortest interval between two reports of one conflict. */
const REPORTED_MS = 60_000;
/** Maximum number of conflicts, in all and of one reporter: hostile peers can invent them. */
const MAX_CONFLICTS = 64;
const MAX_EACH = 16;

/** The conflicts of the last minutes. */
export class Conflicts {
  readonly #clock: Clock;
  readonly #conflicts = new Map<string, Noted>();
  #total = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Number of refusals that were recorded since the start. */
  get total(): number {
    return this.#total;
  }

  /** Records a conflict. @returns it if it is new, or was last reported a while ago */
  note(conflict: Conflict): Conflict | undefined {
    const now = this.#clock.now();
    // One for each name: a client that invents identities changes one line.
    const key = [conflict.reporter, conflict.kind, conflict.name].join(" ");
    const known = this.#conflicts.get(key);
    this.#total++;
    this.#expire(now);
    if (known !== undefined && now - known.reportedAt < REPORTED_MS) {
      known.at = now;
      return undefined;
    }
    this.#conflicts.delete(key);
    this.#makeRoom(conflict.reporter);
    this.#conflicts.set(key, { conflict, at: now, reportedAt: now });
    return conflict;
  }

  /** Ends the conflicts that fulfil a condition. */
  end(isOver: (conflict: Conflict) => boolean): void {
    for (const [key, { conflict }] of this.#conflicts) if (isOver(conflict)) this.#conflicts.delete(key);
  }

  /** Returns the recent conflicts, those of this peer first. */
  list(): Conflict[] {
    this.#expire(this.#clock.now());
    const all = Array.from(this.#conflicts.values(), ({ conflict }) => conflict);
    return [...all.filter(({ reporter }) => reporter === undefined), ...all.filter(({ reporter }) => reporter)];
  }

  #expire(now: number): void {
    for (const [key, { at }] of this.#conflicts) if (now - at >= CONFLICT_SHOWN_MS) this.#conflicts.delete(key);
  }

  /** Drops the oldest conflict of a reporter that has too many, or else the oldest that another peer has reported. */
  #makeRoom(reporter: PeerName | undefined): void {
    const all = [...this.#conflicts];
    const own = all.filter(([, { conflict }]) => conflict.reporter === reporter);
    const reported = all.filter(([, { conflict }]) => conflict.reporter !== undefined);
    if (reporter !== undefined && own.length >= MAX_EACH) this.#conflicts.delete(own[0][0]);
    else if (all.length >= MAX_CONFLICTS) this.#conflicts.delete((reported[0] ?? all[0])[0]);
  }
}
