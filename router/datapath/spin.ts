import type { PollSet } from "#src/linux/native/files.js";

/**
 * Time for which a thread polls before it sleeps. The reply of a program at the other end of a fast network comes within it; longer ones
 * gained nothing. Measured in the lab: 60 µs take 10 to 25 % off a round trip between two programs, as threads need not be woken.
 */
const SPIN_MS = 0.06;
/** A poll that takes this long was interrupted: another thread has run on this core. */
const DISTURBED_MS = 0.05;
/** Without a spin for this time after a disturbance; twice as long after each further one, as the core has other work. */
const PAUSE_MS = 20;
const MAX_PAUSE_MS = 2_000;
/** Spins in vain, in a row, after which only one of {@link PROBE_EVERY} packets is followed by one. */
const PATIENCE = 16;
const PROBE_EVERY = 32;

/**
 * Decides when a thread polls for a short time instead of sleeping at once. To wake a thread costs some 40 to 80 µs on a core that is
 * idle, more than all work on a small frame. Polling must cost neither others nor this host's power when nothing comes: it ends for a
 * time when another thread needs the core, and is rare when the last ones were in vain.
 *
 * Times are in milliseconds on a monotonic clock.
 */
export class Spin {
  #vain = 0;
  #skipped = 0;
  #pausedUntil = 0;
  #pause = PAUSE_MS;

  /** Whether no descriptor was ready at the first poll of the last {@link wait}. */
  foundNone = false;
  /** Duration of the last {@link wait}; 0 if its first poll has found a packet. */
  lastMs = 0;

  /** Polls for {@link SPIN_MS} at most, if that is worthwhile. False: it is not. */
  wait(set: PollSet, now: number): boolean {
    if (!this.isWorthwhile(now)) return false;
    let before = now;
    const end = before + SPIN_MS;
    set.wait(0);
    this.foundNone = !set.any;
    this.lastMs = 0;
    if (set.any) return true;
    for (;;) {
      set.wait(0);
      const after = performance.now();
      this.lastMs = after - now;
      if (set.any) {
        this.succeeded();
        return true;
      }
      if (this.isDisturbed(before, after)) return true;
      if (after >= end) {
        this.failed();
        return true;
      }
      before = after;
    }
  }

  /** Whether to poll after the packet that was just handled. */
  isWorthwhile(now: number): boolean {
    if (now < this.#pausedUntil) return false;
    if (this.#vain < PATIENCE) return true;
    if (++this.#skipped < PROBE_EVERY) return false;
    this.#skipped = 0;
    return true;
  }

  /** A packet came. */
  succeeded(): void {
    this.#vain = 0;
    this.#pause = PAUSE_MS;
  }

  /** None came. */
  failed(): void {
    this.#vain++;
  }

  /** Whether the time between two polls shows that another thread has run. If so, the spin has to end. */
  isDisturbed(before: number, now: number): boolean {
    if (now - before < DISTURBED_MS) return false;
    this.#pausedUntil = now + this.#pause;
    this.#pause = Math.min(2 * this.#pause, MAX_PAUSE_MS);
    return true;
  }
}
