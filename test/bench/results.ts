import { writeFileSync } from "node:fs";
import { type FigureName, settle, type Value } from "#test/bench/figures.js";
import type { Missing, Overlay } from "#test/bench/overlays.js";
import { figureTables, LEGEND, type Medians, ratios, ratioTable, rowOf } from "#test/bench/report.js";
import type { RoundResult } from "#test/bench/round.js";

/** One overlay in one round. */
export interface Round extends RoundResult {
  readonly round: number;
  readonly name: string;
  /** How long it took, with repeats. */
  readonly seconds: number;
}

/** What was measured until now. */
export class Results {
  readonly #overlays: readonly Overlay[];
  readonly #rounds: Round[] = [];
  readonly #missing: Missing[];

  constructor(overlays: readonly Overlay[], missing: readonly Missing[]) {
    this.#overlays = overlays;
    this.#missing = [...missing];
  }

  add(round: Round): void {
    this.#rounds.push(round);
  }

  failed(missing: Missing): void {
    this.#missing.push(missing);
  }

  /** How often an overlay failed, or was missing. */
  failures(overlay: Overlay): number {
    return this.#missing.filter(({ name }) => name === overlay.name).length;
  }

  /** Medians of the overlays that were measured, in the order of the table. */
  get medians(): ReadonlyMap<Overlay, Medians> {
    const all = this.#overlays.map((overlay) => [overlay, this.#mediansOf(overlay)] as const);
    return new Map(all.filter(([, medians]) => medians.size > 0));
  }

  #mediansOf({ name }: Overlay): Medians {
    const values = new Map<FigureName, Value[]>();
    for (const round of this.#rounds.filter((each) => each.name === name))
      for (const [figure, value] of Object.entries(round.values) as [FigureName, Value][])
        values.set(figure, [...(values.get(figure) ?? []), value]);
    return new Map([...values].map(([figure, list]) => [figure, settle(list)!]));
  }

  /** All tables. */
  toString(): string {
    const { medians } = this;
    const builds = [...medians.keys()].filter(({ kind }) => kind === "ours");
    const thrown = this.#rounds.reduce((sum, { thrownAway }) => sum + thrownAway.length, 0);
    return [
      figureTables(medians),
      ...builds.map((build) => ratioTable(build, medians)).filter((table) => table !== ""),
      LEGEND,
      `  ${thrown} measures were thrown away and repeated, because others used the processors.`,
    ].join("\n");
  }

  /** Writes all values, medians and ratios. `about` says how they were measured. */
  write(file: string, about: object): void {
    const { medians } = this;
    const overlays = [...medians].map(([{ name, kind, layer, cipher, version }, each]) => {
      const noisy = [...each].filter(([, value]) => value.noisy).map(([figure]) => figure);
      return { name, kind, layer, cipher, version, medians: rowOf(each), noisy };
    });
    const builds = [...medians.keys()].filter(({ kind }) => kind === "ours");
    const divided = builds.map((build) => [build.name, Object.fromEntries(ratios(build, medians))]);
    const [rounds, missing] = [this.#rounds, this.#missing];
    const all = { ...about, overlays, ratios: Object.fromEntries(divided), rounds, missing };
    writeFileSync(file, `${JSON.stringify(all, null, 2)}\n`);
  }
}
