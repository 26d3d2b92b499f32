/** Probes that were sent, and the round trips of those that were answered. */
export interface RoundTrips {
  readonly sent: number;
  /** In milliseconds, in the order in which the probes were sent. */
  readonly times: readonly number[];
}

export interface RoundTripSummary {
  readonly sent: number;
  readonly answered: number;
  /** From 0 to 100, with one decimal. */
  readonly lossPercent: number;
  /** Milliseconds; undefined when no probe was answered. */
  readonly min: number | undefined;
  readonly median: number | undefined;
  readonly max: number | undefined;
}

export const NO_ROUND_TRIPS: RoundTrips = { sent: 0, times: [] };

/** The figures of a series. Of an even number of times the median is the mean of the two in the middle. Pure. */
export function summaryOf({ sent, times }: RoundTrips): RoundTripSummary {
  const sorted = [...times].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  const median =
    sorted.length === 0 ? undefined : sorted.length % 2 === 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
  return {
    sent,
    answered: times.length,
    lossPercent: sent === 0 ? 0 : Math.round((1_000 * Math.max(0, sent - times.length)) / sent) / 10,
    min: sorted[0],
    median,
    max: sorted.at(-1),
  };
}
