import { durationText, type Reason } from "#ipam/ring/reason.js";
import type { Clock, Timer } from "#src/clock.js";
import { WeaveError } from "#src/errors.js";

export interface WaitOptions {
  /** Cancels the request; its promise is rejected with WEAVE_CANCELLED. */
  readonly signal?: AbortSignal;
  /** Milliseconds until the promise is rejected with WEAVE_IPAM_WAIT and the reason of the wait; no limit by default. */
  readonly timeoutMs?: number;
}

type WaitKind = "prime" | "claim" | "allocate";
/** Order of retries: requests for a ring, then for certain addresses, then for any address. */
const ORDER: readonly WaitKind[] = ["prime", "claim", "allocate"];

/** A blocked request. */
export interface Waiter {
  readonly kind: WaitKind;
  readonly ident: string;
  /** The requested address or subnet, or "". */
  readonly subject: string;
  /** Monotonic time of the request. */
  readonly since: number;
  /** Explains why the request is blocked, and which command unblocks it. */
  reason(): Reason;
}

interface Entry extends Waiter {
  /** Attempts the request. @returns whether it is done @throws an error that ends the wait */
  attempt(): boolean;
  /** Rejects the request. */
  end(error: unknown): void;
}

/** Maximum number of blocked requests, as a limit for faulty clients. */
const MAX_WAITERS = 4_096;

/** Requests that wait for the ring, for space, or for another peer's answer. All of them are retried after every change. */
export class WaitQueue {
  readonly #clock: Clock;
  readonly #entries = new Set<Entry>();
  /** Whether {@link retry} is running. */
  #running = false;
  /** Whether it was called again meanwhile. */
  #again = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get all(): readonly Waiter[] {
    return [...this.#entries];
  }

  /**
   * Attempts a request now, and again on each {@link retry} until it is done.
   *
   * @param attempt returns undefined while the request must wait; an error ends the wait
   * @throws WEAVE_CANCELLED, WEAVE_IPAM_WAIT, and the errors of `attempt`
   */
  run<T>(
    what: Pick<Waiter, "kind" | "ident" | "subject" | "reason"> & { attempt(): T | undefined },
    { signal, timeoutMs }: WaitOptions,
  ): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (signal?.aborted) throw cancelled(what.ident);
      const value = what.attempt();
      if (value !== undefined) return resolve(value);
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
      if (timeoutMs !== undefined) timer = this.#clock.after(timeoutMs, () => entry.end(this.#timeout(entry)));
      signal?.addEventListener("abort", onAbort);
      this.#entries.add(entry);
    });
  }

  /** Attempts all blocked requests again. */
  retry(): void {
    // An attempt may cause a change, which calls this method again: that is one more round, and no nested one.
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

  /** Cancels the blocked requests of a holder, or all of them. @param why for the error */
  cancel(why: string, ident?: string): void {
    for (const entry of [...this.#entries])
      if (ident === undefined || entry.ident === ident)
        entry.end(new WeaveError("WEAVE_CANCELLED", `${subjectText(entry)}: ${why}`));
  }

  #timeout(entry: Entry): WeaveError {
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

/** Describes a blocked request: `allocation for ID in 10.32.0.0/12`. */
export function subjectText({ kind, ident, subject }: Waiter): string {
  if (kind === "prime") return "prime";
  return kind === "claim" ? `claim of ${subject} for ${ident}` : `allocation for ${ident} in ${subject}`;
}
