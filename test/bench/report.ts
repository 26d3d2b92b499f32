/** The tables of the benchmark, as text. */
import {
  type Best,
  best,
  FIGURE_NAMES,
  FIGURES,
  type FigureName,
  type Row,
  ratio,
  type Value,
} from "#test/bench/figures.js";
import type { Overlay } from "#test/bench/overlays.js";

/** Of a missing figure. */
const NONE = "–";
const NAME_WIDTH = 24;
/** Shares of another figure, without a ratio of their own. */
const DETAILS: ReadonlySet<FigureName> = new Set(["cpuRouters", "cpuPrograms", "cpuKernel"]);

/** Medians of an overlay. */
export type Medians = ReadonlyMap<FigureName, Value>;

const titled = ({ name, layer, kind }: Overlay): string =>
  kind === "reference" ? `${name} (clear)` : `${name} (L${layer})`;

export const rowOf = (medians: Medians): Row =>
  Object.fromEntries([...medians].map(([name, { value }]) => [name, value])) as Row;

/** One table for each subject: a line for each overlay, `~` beside medians of noisy values alone. */
export function figureTables(results: ReadonlyMap<Overlay, Medians>): string {
  const used = FIGURE_NAMES.filter((name) => [...results.values()].some((medians) => medians.has(name)));
  const lines: string[] = [];
  for (const table of new Set(used.map((name) => FIGURES[name].table))) {
    const columns = used.filter((name) => FIGURES[name].table === table);
    const width = (name: FigureName) => Math.max(8, FIGURES[name].title.length) + 2;
    const head = columns.map((name) => FIGURES[name].title.padStart(width(name))).join("");
    lines.push("", `  ${table.padEnd(NAME_WIDTH)}${head}`);
    for (const [overlay, medians] of results) {
      const cells = columns.map((name) => {
        const found = medians.get(name);
        const text = found === undefined ? NONE : found.value.toFixed(FIGURES[name].digits);
        return `${found?.noisy ? "~" : ""}${text}`.padStart(width(name));
      });
      lines.push(`  ${titled(overlay).padEnd(NAME_WIDTH)}${cells.join("")}`);
    }
  }
  return lines.join("\n");
}

export interface Ratios {
  readonly vxlan: number | undefined;
  readonly layer2: (Best & { ratio: number | undefined }) | undefined;
  readonly peer: (Best & { ratio: number | undefined }) | undefined;
  /** To the first build, where there are several. */
  readonly ours: number | undefined;
}

/** Each figure of one build divided by that of VXLAN, of the best peer of layer 2, of the best peer, and of the first build. */
export function ratios(build: Overlay, results: ReadonlyMap<Overlay, Medians>): Map<FigureName, Ratios> {
  const rows = [...results].map(([overlay, medians]) => ({ overlay, row: rowOf(medians) }));
  const peers = (layers: readonly number[]) =>
    new Map(
      rows
        .filter(({ overlay }) => overlay.kind === "peer" && layers.includes(overlay.layer))
        .map(({ overlay, row }) => [overlay.name, row]),
    );
  const [layer2, all] = [peers([2]), peers([2, 3])];
  const mine = rows.find(({ overlay }) => overlay === build)!.row;
  const kernel = rows.find(({ overlay }) => overlay.name === "vxlan")?.row ?? {};
  const first = rows.find(({ overlay }) => overlay.kind === "ours")!;
  const to = (found: Best | undefined, name: FigureName) =>
    found === undefined ? undefined : { ...found, ratio: ratio(mine[name], found.value) };
  return new Map(
    FIGURE_NAMES.filter((name) => mine[name] !== undefined).map((name) => [
      name,
      {
        vxlan: ratio(mine[name], kernel[name]),
        layer2: to(best(layer2, name), name),
        peer: to(best(all, name), name),
        ours: first.overlay === build ? undefined : ratio(mine[name], first.row[name]),
      },
    ]),
  );
}

/** The ratios of one build as a table; empty where nothing is there to compare with. */
export function ratioTable(build: Overlay, results: ReadonlyMap<Overlay, Medians>): string {
  const shown = (value: number | undefined) => (value === undefined ? NONE : value.toFixed(2)).padStart(8);
  const named = (found: Ratios["peer"]) => `${shown(found?.ratio)}  ${(found?.name ?? "").padEnd(14)}`;
  const own = rowOf(results.get(build)!);
  const rows = [...ratios(build, results)].filter(([name]) => !DETAILS.has(name));
  if (rows.every(([, { vxlan, peer, ours }]) => vxlan === undefined && peer === undefined && ours === undefined))
    return "";
  const head = ["value".padStart(10), "VXLAN".padStart(8), "   best L2 peer".padEnd(24), "   best peer".padEnd(24)];
  const lines = ["", `  ${`${build.name}, divided by`.padEnd(NAME_WIDTH)}${head.join("")} ours`];
  for (const [name, { vxlan, layer2, peer, ours }] of rows) {
    const { full, better, digits } = FIGURES[name];
    const title = `${better === "higher" ? "↑" : "↓"} ${full}`.padEnd(NAME_WIDTH);
    const value = own[name]!.toFixed(digits).padStart(10);
    lines.push(`  ${title}${value}${shown(vxlan)}${named(layer2)}${named(peer)}${shown(ours)}`);
  }
  return lines.join("\n");
}

export const LEGEND = [
  "",
  "  TCP in Gbit/s with 1 and 4 streams; cold: its first second, after pings. UDP: thousands of datagrams of 64 and 1350 bytes a second",
  "  that were received at the highest rate of which at most 1 % or 0.1 % is lost. Ping and RR (TCP, one byte each way) in µs; loaded: beside",
  "  4 cubic streams. Busy: beside 2 or 4 processes that take all CPU time they get. CPU s/GB: one TCP stream, cold and warm, both ends, routers, iperf3 and",
  "  threads of the kernel. Idle CPU and RSS: all processes of one host. ↑ higher, ↓ lower is better. ~ measured while others used the processors.",
].join("\n");
