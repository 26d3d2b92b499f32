/** What became of datagrams that were sent at a rate. */
export interface Outcome {
  /** How many a second were to be sent. */
  readonly rate: number;
  /** How many a second were sent: a busy sender does not reach each rate. */
  readonly sent: number;
  /** How many a second were received. */
  readonly received: number;
}

export interface Bounds {
  /** The first rate to try. */
  readonly first: number;
  readonly lowest: number;
  readonly highest: number;
  /** How far the result may be below the limit, as a share of it. */
  readonly precision: number;
}

/** While the limit is unknown each rate is so many times the last one. */
const GROWTH = 1.7;
/** A sender that reaches less of a rate has not tested that rate. */
const REACHED = 0.95;
/** The search ends after so many rates, whatever they gave. */
const STEPS = 24;

const lost = ({ sent, received }: Outcome): number => (sent === 0 ? 1 : 1 - received / sent);
const passes = (outcome: Outcome, loss: number): boolean =>
  outcome.sent >= REACHED * outcome.rate && lost(outcome) <= loss;

/**
 * Searches the highest rate of datagrams at which no more than a share of them is lost. Outcomes of one search are used by the next one,
 * for another share.
 */
export class Bisection {
  readonly #run: (rate: number) => Promise<Outcome>;
  readonly #bounds: Bounds;
  readonly #outcomes = new Map<number, Outcome>();

  constructor(run: (rate: number) => Promise<Outcome>, bounds: Bounds) {
    this.#run = run;
    this.#bounds = bounds;
  }

  /** All that was tried, by rate. */
  get outcomes(): Outcome[] {
    return [...this.#outcomes.values()].sort((a, b) => a.rate - b.rate);
  }

  /**
   * Returns how many a second were received at the highest rate that lost at most `loss` (a share of 1); 0 if the lowest rate lost more.
   * A rate that fails is tried a second time: a single hiccup of the machine is no limit.
   */
  async search(loss: number): Promise<number> {
    const { first, lowest, highest, precision } = this.#bounds;
    for (let step = 0; step < STEPS; step++) {
      const { below, above } = this.#bracket(loss);
      if (below !== undefined && above !== undefined && above <= below.rate * (1 + precision)) return below.received;
      if (below !== undefined && below.rate >= highest) return below.received;
      if (below === undefined && above !== undefined && above <= lowest) return 0;
      await this.#try(this.#next(below?.rate, above, first), loss);
    }
    return this.#bracket(loss).below?.received ?? 0;
  }

  #next(below: number | undefined, above: number | undefined, first: number): number {
    const { lowest, highest } = this.#bounds;
    if (below === undefined) return Math.max(lowest, Math.round(above === undefined ? first : above / GROWTH));
    return Math.min(highest, Math.round(above === undefined ? below * GROWTH : Math.sqrt(below * above)));
  }

  /** The highest rate that passed, and the lowest above it that did not. */
  #bracket(loss: number): { below: Outcome | undefined; above: number | undefined } {
    const passed = this.outcomes.filter((outcome) => passes(outcome, loss));
    const below = passed.at(-1);
    const above = this.outcomes.find((outcome) => outcome.rate > (below?.rate ?? 0) && !passes(outcome, loss))?.rate;
    return { below, above };
  }

  async #try(rate: number, loss: number): Promise<void> {
    const outcome = await this.#run(rate);
    const again = passes(outcome, loss) ? outcome : await this.#run(rate);
    const known = [this.#outcomes.get(rate), outcome, again].filter((each) => each !== undefined);
    // The best of them: with the fewest lost, and of a rate that was reached.
    const rank = (each: Outcome) => (each.sent >= REACHED * each.rate ? 0 : 1) + lost(each);
    this.#outcomes.set(rate, known.sort((a, b) => rank(a) - rank(b))[0]);
  }
}
