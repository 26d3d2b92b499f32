import { setTimeout as sleep } from "node:timers/promises";
import { Bed } from "#test/bench/bed.js";
import type { ControlGroup } from "#test/bench/control-group.js";
import type { FigureName, Value } from "#test/bench/figures.js";
import { cpuTimes, foreignCores } from "#test/bench/machine-load.js";
import { type Durations, MEASURES, type MeasureName, needsWarmth, type Subject, warmUp } from "#test/bench/measures.js";
import type { Overlay } from "#test/bench/overlays.js";
import type { Probe } from "#test/bench/probe.js";

/** Noisy measures are repeated so many times. */
const REPEATS = 2;
/** Of an overlay that was just stopped. */
const CALM_MS = 200;

export interface Setting {
  readonly group: ControlGroup;
  readonly probe: Probe;
  readonly durations: Durations;
  readonly measures: readonly MeasureName[];
  /** Cores. What others use beyond that makes a measure noisy. */
  readonly noise: number;
  /** Milliseconds of performance.now(): noisy measures are not repeated later than that. */
  readonly repeatUntil: number;
}

export interface RoundResult {
  readonly values: Partial<Record<FigureName, Value>>;
  /** Measures that were noisy and thrown away, each as often as it was. */
  readonly thrownAway: MeasureName[];
  /** What others used at most while a kept value was measured, in cores. */
  readonly foreign: number;
}

type Measured = { name: MeasureName; values: Partial<Record<FigureName, Value>>; foreign: number };

let beds = 0;

/** Starts an overlay on two new hosts, runs measures and stops it. */
async function once(overlay: Overlay, measures: readonly MeasureName[], setting: Setting): Promise<Measured[]> {
  const { group, probe, durations } = setting;
  const bed = await Bed.create(group, `bed${beds++}`);
  try {
    const began = performance.now();
    const ends = await bed.reached(await overlay.start(bed));
    const start = { value: (performance.now() - began) / 1_000, noisy: false };
    const subject: Subject = { bed, ends, probe, own: group, durations };
    const measured: Measured[] = [];
    let warm = false;
    for (const name of measures) {
      if (needsWarmth(name) && !warm) {
        await warmUp(subject);
        warm = true;
      }
      const [before, at] = [cpuTimes(group), performance.now()];
      const row = await MEASURES[name](subject);
      const foreign = foreignCores(before, cpuTimes(group), (performance.now() - at) / 1_000);
      const noisy = foreign > setting.noise;
      const values = Object.entries(row).map(([figure, value]) => [figure, { value, noisy }]);
      measured.push({ name, values: Object.fromEntries(values), foreign });
    }
    if (measured.length > 0) measured[0].values.start = { ...start, noisy: measured[0].foreign > setting.noise };
    return measured;
  } finally {
    await bed.dispose();
    await sleep(CALM_MS);
  }
}

/**
 * One overlay's part of a round. A measure during which others used the processors is thrown away and repeated, with the overlay started
 * again; the last try is kept, as noisy.
 */
export async function measureOverlay(overlay: Overlay, setting: Setting): Promise<RoundResult> {
  const values: Partial<Record<FigureName, Value>> = {};
  const thrownAway: MeasureName[] = [];
  let foreign = 0;
  let left = setting.measures;
  for (let repeat = 0; left.length > 0; repeat++) {
    const last = repeat === REPEATS || performance.now() > setting.repeatUntil;
    const measured = await once(overlay, left, setting);
    const noisy = measured.filter((each) => each.foreign > setting.noise);
    for (const each of measured) {
      if (noisy.includes(each) && !last) continue;
      Object.assign(values, each.values);
      foreign = Math.max(foreign, each.foreign);
    }
    if (last) break;
    left = noisy.map(({ name }) => name);
    thrownAway.push(...left);
    // Memory and CPU belong to an overlay that has carried traffic: the warm-up does that.
  }
  return { values, thrownAway, foreign };
}
