/**
 * Runs `run` with a signal that is aborted when one of `signals` is, with the same reason.
 *
 * This takes the place of AbortSignal.any and AbortSignal.timeout: Node 20 may collect their signals although something listens to
 * them, and then nothing is aborted.
 */
export async function withJoinedSignal<T>(
  signals: readonly (AbortSignal | undefined)[],
  run: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const joined = new AbortController();
  const sources = signals.filter((signal) => signal !== undefined);
  const abort = ({ target }: Event) => joined.abort((target as AbortSignal).reason);
  for (const source of sources) {
    if (source.aborted) joined.abort(source.reason);
    source.addEventListener("abort", abort);
  }
  try {
    return await run(joined.signal);
  } finally {
    for (const source of sources) source.removeEventListener("abort", abort);
  }
}

/**
 * Runs `run` with a signal that is aborted after `ms`, or when `signal` is. The timer does not keep the process alive.
 *
 * @returns the result of `run`, which decides what it does at an abort: nothing ends by itself
 */
export async function withTimeLimit<T>(
  ms: number,
  signal: AbortSignal | undefined,
  run: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(new DOMException(`not done after ${ms} ms`, "TimeoutError")), ms);
  timer.unref();
  try {
    return await withJoinedSignal([signal, late.signal], run);
  } finally {
    clearTimeout(timer);
  }
}
