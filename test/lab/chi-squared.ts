/**
 * The probability that equally likely choices are spread at least as unevenly as these counts: Pearson's chi-squared test, with
 * Wilson and Hilferty's approximation of its distribution. Above 5 expected of each it is right to a few per cent of its exponent.
 */
export function evenness(counts: readonly number[]): number {
  const total = counts.reduce((sum, count) => sum + count, 0);
  const expected = total / counts.length;
  const chi = counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
  const degrees = counts.length - 1;
  const spread = 2 / (9 * degrees);
  const z = (Math.cbrt(chi / degrees) - (1 - spread)) / Math.sqrt(spread);
  return upperTail(z);
}

/** The upper tail of the normal distribution (Abramowitz and Stegun, 26.2.17, by the error function of 7.1.26). */
function upperTail(z: number): number {
  if (z < 0) return 1 - upperTail(-z);
  const t = 1 / (1 + (0.3275911 * z) / Math.SQRT2);
  const polynomial = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  return 0.5 * polynomial * Math.exp((-z * z) / 2);
}
