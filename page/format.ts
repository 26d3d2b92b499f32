/** Figures as the page shows them. */

const BYTES = ["B", "KB", "MB", "GB", "TB", "PB"];
const RATES = ["bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"];

/** Bytes in powers of 1,000, with two or three digits. */
export const bytesText = (bytes: number): string => scaled(bytes, BYTES);

/** Bytes in a second as bits in a second, as networks are measured. */
export const rateText = (bytesPerSecond: number): string => scaled(bytesPerSecond * 8, RATES);

function scaled(count: number, units: readonly string[]): string {
  let [value, unit] = [count, 0];
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1_000;
    unit++;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

export const millisecondsText = (ms: number): string =>
  ms < 1 ? `${ms.toFixed(2)} ms` : ms < 100 ? `${ms.toFixed(1)} ms` : `${Math.round(ms)} ms`;

export const percentText = (percent: number): string => `${percent >= 10 ? Math.round(percent) : percent.toFixed(1)} %`;

export const countText = (count: number): string => count.toLocaleString("en");

/** `1 peer`, `2 peers`. */
export const countOf = (count: number, noun: string, plural = `${noun}s`): string =>
  `${countText(count)} ${count === 1 ? noun : plural}`;

/** A time of the day, by the clock of this computer. */
export const timeText = (ms: number): string => new Date(ms).toLocaleTimeString("en-GB");

/** A text cut in its middle, where names differ least. */
export function shortText(text: string, max: number): string {
  if (text.length <= max) return text;
  const head = Math.ceil((max - 1) * 0.6);
  return `${text.slice(0, head)}…${text.slice(text.length - (max - 1 - head))}`;
}
