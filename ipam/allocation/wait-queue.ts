import { durationText } from "#ipam/surroundings.js";
import type { Clock, Timer } from "#src/clock.js";
import { WeaveError } from "#src/errors.js";

/** Why something waits, and what ends it. The log, `status ipam` and errors use these words. */
export interface Reason {
  readonly why: string;
  /** The command or change that helps. */
  readonly next: string;
}

export interface WaitOptions {
  /** Gives up; the promise is rejected with WEAVE_CANCELLED. */
  readonly signal?: AbortSignal;
  /** Milliseconds from now; then the promise is rejected with WEAVE_IPAM_WAIT and the reason. Without end if left out. */
  readonly timeoutMs?: number;
}

export type Kind = "prime" | "claim" | "allocate";
/** Whoever needs only a ring first, then who wants a certain address, then who takes any. As the original. */
const ORDER: readonly Kind[] = ["prime", "claim", "allocate"];

/** Something that could not be done at once. */
export interface Waiter {
  readonly kind: Kind;
  readonly ident: string;
  /** What is wanted: an address, a subnet, or "". */
  readonly subject: string;
  /** On the clock. */
  readonly since: number;
  reason(): Reason;
}

interface Entry extends Waiter {
  /** True: done. @throws what ends the wait for good */
  attempt(): boolean;
  end(error: unknown): void;
}

/** At most this many things wait; more is a client gone wild. */
const MAX_WAITERS = 4_096;

/** Operations that wait for the ring, for space, or for another peer's answer. All are tried again on every change. */
export class WaitQueue {
  readonly #clock: Clock;
  readonly #entries = new Set<Entry>();
  #running = false;
  #again = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get all(): readonly Waiter[] {
    return [...this.#entries];
  }

  /**
   * Tries now, and again on each {@link retry} until it is done.
   *
   * @param attempt returns undefined as long as it must wait; what it throws ends the wait
   * @throws WEAVE_CANCELLED, WEAVE_IPAM_WAIT, and what `attempt` throws
   */
  run<T>(
    what: Pick<Waiter, "kind" | "ident" | "subject" | "reason"> & { attempt(): T | undefined },
    { signal, timeoutMs }: WaitOptions,
  ): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (signal?.aborted) throw cancelled(what.ident);
      const now = what.attempt();
      if (now !== undefined) return resolve(now);
      if (this.#entries.size >= MAX_WAITERS)
        throw new WeaveError("WEAVE_IPAM_WAIT", `more than ${MAX_WAITERS} requests wait for addresses already`);
      let timer: Timer | undefined;
      const onAbort = () => entry.end(cancelled(what.ident));
      const finish = () => {
        this.#entries.delete(entry);
        timer?.cancel();
        signal?.removeEventListener("abort", onAbort);
      };
      const entry: Entry = {
        ...what,
        since: this.#clock.now(),
        attempt: () => {
          const value = what.attempt();
          if (value === undefined) return false;
          finish();
          resolve(value);
          return true;
        },
        end: (error) => {
          finish();
          reject(error);
        },
      };
      if (timeoutMs !== undefined) timer = this.#clock.after(timeoutMs, () => entry.end(this.#late(entry)));
      signal?.addEventListener("abort", onAbort);
      this.#entries.add(entry);
    });
  }

  /** Tries all that wait. */
  retry(): void {
    // What succeeds may change something, which asks for another turn: not inside this one.
    this.#again = this.#running;
    if (this.#running) return;
    this.#running = true;
    try {
      do {
        this.#again = false;
        for (const kind of ORDER) for (const entry of this.#entries) if (entry.kind === kind) attempt(entry);
      } while (this.#again);
    } finally {
      this.#running = false;
    }
  }

  /** Ends the waits of one container, or all. */
  cancel(why: string, ident?: string): void {
    for (const entry of [...this.#entries])
      if (ident === undefined || entry.ident === ident)
        entry.end(new WeaveError("WEAVE_CANCELLED", `${subjectText(entry)}: ${why}`));
  }

  #late(entry: Entry): WeaveError {
    const { why, next } = entry.reason();
    const waited = durationText(this.#clock.now() - entry.since);
    return new WeaveError("WEAVE_IPAM_WAIT", `${subjectText(entry)}: after ${waited} it still waits for ${why}`, {
      next,
    });
  }
}

function attempt(entry: Entry): void {
  try {
    entry.attempt();
  } catch (error) {
    entry.end(error);
  }
}

const cancelled = (ident: string): WeaveError => new WeaveError("WEAVE_CANCELLED", `${ident}: cancelled`);

/** `allocate for ID in 10.32.0.0/12` */
export function subjectText({ kind, ident, subject }: Waiter): string {
  if (kind === "prime") return "prime";
  return kind === "claim" ? `claim of ${subject} for ${ident}` : `allocation for ${ident} in ${subject}`;
}
