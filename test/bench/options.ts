import { parseArgs } from "node:util";
import { MEASURE_NAMES, type MeasureName } from "#test/bench/measures.js";
import { OVERLAY_NAMES } from "#test/bench/overlays.js";

export interface Options {
  readonly rounds: number;
  /** Overlays by name; undefined: all that are there. */
  readonly only: readonly string[] | undefined;
  readonly measures: readonly MeasureName[];
  readonly quick: boolean;
  readonly json: string | undefined;
  /** Whether peers are built that are not built yet. */
  readonly build: boolean;
  /** Programs `weave` of further builds, by the name of their row. */
  readonly ours: ReadonlyMap<string, string>;
  /** Cores. What others use beyond that makes a measure noisy. */
  readonly noise: number;
  /** Nothing is started later than that. */
  readonly seconds: number;
}

const ROUNDS = { usual: 5, quick: 2, most: 100 };
/** Cores. Less slows an overlay by no more than rounds differ anyway. */
const NOISE = 0.15;
/** A run takes at most so long, also one that repeats much. */
const SECONDS = 4 * 3_600;

export const HELP = `npm run bench -- [--rounds N] [--only NAMES] [--measures NAMES] [--quick] [--json FILE] [--no-build]
                  [--ours NAME=PROGRAM] [--noise CORES] [--seconds N]

Two hosts of network namespaces on one wire; each overlay is started for itself in each round, measured and stopped. All of it takes some
45 minutes on two cores; scripts/peers.sh builds peers first, once.

  --rounds N          rounds, of which medians are shown (default ${ROUNDS.usual}, with --quick ${ROUNDS.quick})
  --only NAMES        only these, with commas: ${OVERLAY_NAMES.join(",")}
  --measures NAMES    only these, with commas: ${MEASURE_NAMES.join(",")}
  --quick             shorter measurements: half a minute for each overlay and round
  --json FILE         writes all values, medians and ratios
  --no-build          measures the peers that are there; otherwise scripts/peers.sh builds the others first
  --ours NAME=PROGRAM measures another build: a row NAME, whose command "weave" is PROGRAM; may be repeated.
                      With --only this build is measured as well if it names "ours"
  --noise CORES       measures during which others used more are repeated, twice at most (default ${NOISE})
  --seconds N         starts nothing after N s, and shows the figures until then
  --help              this text
`;

/** @throws Error: what is wrong, and which values there are */
function names<T extends string>(flag: string, text: string | undefined, known: readonly T[]): T[] | undefined {
  if (text === undefined) return undefined;
  const given = text.split(",");
  const unknown = given.find((name) => !(known as readonly string[]).includes(name));
  if (unknown !== undefined) throw new Error(`${flag}: there is no "${unknown}"; known are ${known.join(",")}`);
  return known.filter((name) => given.includes(name));
}

function count(flag: string, text: string | undefined, otherwise: number, most: number): number {
  if (text === undefined) return otherwise;
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1 || value > most) throw new Error(`${flag} is 1 to ${most}, not "${text}"`);
  return value;
}

function cores(text: string | undefined): number {
  const value = Number(text ?? NOISE);
  if (!(value > 0 && value <= 1_000)) throw new Error(`--noise is above 0, in cores, not "${text}"`);
  return value;
}

function builds(given: readonly string[]): Map<string, string> {
  const found = new Map<string, string>();
  for (const each of given) {
    const [, name, program] = /^([a-z0-9._-]{1,20})=(.+)$/i.exec(each) ?? [];
    if (program === undefined) throw new Error(`--ours is NAME=PROGRAM, not "${each}"`);
    if ((OVERLAY_NAMES as readonly string[]).includes(name) || found.has(name))
      throw new Error(`--ours: there is another "${name}"`);
    found.set(name, program);
  }
  return found;
}

/** Parses the arguments of `npm run bench`. @throws Error: an unknown flag or name, or a number out of range */
export function parseOptions(args: readonly string[]): Options | "help" {
  const { values } = parseArgs({
    args: [...args],
    options: {
      rounds: { type: "string" },
      only: { type: "string" },
      measures: { type: "string" },
      quick: { type: "boolean", default: false },
      json: { type: "string" },
      "no-build": { type: "boolean", default: false },
      ours: { type: "string", multiple: true, default: [] },
      noise: { type: "string" },
      seconds: { type: "string" },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help) return "help";
  return {
    rounds: count("--rounds", values.rounds, values.quick ? ROUNDS.quick : ROUNDS.usual, ROUNDS.most),
    only: names("--only", values.only, OVERLAY_NAMES),
    measures: names("--measures", values.measures, MEASURE_NAMES) ?? MEASURE_NAMES,
    quick: values.quick,
    json: values.json,
    build: !values["no-build"],
    ours: builds(values.ours),
    noise: cores(values.noise),
    seconds: count("--seconds", values.seconds, SECONDS, SECONDS),
  };
}
