/** Time for the pure folders. It is injected, so that a simulation runs hours in milliseconds. */
export interface Clock {
  /** Returns milliseconds on a monotonic clock. */
  now(): number;
  /** Returns milliseconds since the Unix epoch. For display and incarnations only: this clock may jump. */
  wall(): number;
  /** Calls `run` once, `ms` from now. */
  after(ms: number, run: () => void): Timer;
}

export interface Timer {
  cancel(): void;
}

/** The operating system's clock. Its timers do not keep the process alive. */
export const systemClock: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
  after(ms, run) {
    const timer = setTimeout(run, ms);
    timer.unref();
    return { cancel: () => clearTimeout(timer) };
  },
};

/** Calls `run` every `ms` until it is cancelled. The next timer is set before each call, so an error of `run` does not end the series. */
export function every(clock: Clock, ms: number, run: () => void): Timer {
  let timer: Timer;
  const turn = () => {
    timer = clock.after(ms, turn);
    run();
  };
  timer = clock.after(ms, turn);
  return { cancel: () => timer.cancel() };
}

/** Resolves after `ms`, or as soon as `signal` is aborted. Never rejects. */
export function pause(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      timer.cancel();
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = clock.after(ms, done);
    if (signal.aborted) done();
    else signal.addEventListener("abort", done);
  });
}
