import type { Rates } from "./feed.ts";
import { rateText } from "./format.ts";

const WIDTH = 240;
const HEIGHT = 44;

/** Throughput of the last two minutes, as a picture with a text for those who do not see it. */
export function Sparkline({ rates }: { readonly rates: Rates }) {
  const highest = Math.max(1, ...rates.sent, ...rates.received);
  const path = (values: readonly number[]) =>
    values
      .map((value, index) => {
        const x = WIDTH - (values.length - 1 - index) * (WIDTH / 59);
        return `${index === 0 ? "M" : "L"}${x.toFixed(1)} ${(HEIGHT - 2 - (value / highest) * (HEIGHT - 4)).toFixed(1)}`;
      })
      .join("");
  return (
    <figure class="sparkline">
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} aria-hidden="true" preserveAspectRatio="none">
        <path class="received" d={path(rates.received)} />
        <path class="sent" d={path(rates.sent)} />
      </svg>
      <figcaption>
        <span class="sent">↑ {rateText(rates.sent.at(-1) ?? 0)}</span>
        <span class="received">↓ {rateText(rates.received.at(-1) ?? 0)}</span>
        <span>highest {rateText(highest)}</span>
      </figcaption>
    </figure>
  );
}
