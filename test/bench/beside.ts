/** The sleeve beside the kernel's VXLAN, on the same wire, whatever that wire does. */
import type { Ends } from "#test/bench/bed.js";
import { vxlan } from "#test/bench/layer2.js";
import type { Lab } from "#test/lab/lab.js";
import { median, tcpGbits } from "#test/lab/measure.js";
import { withoutOffloads } from "#test/lab/transfer.js";
import { until } from "#test/lab/wait.js";

/** Goodput in Gbit/s. */
export interface Goodput {
  readonly congestion: string;
  readonly kernel: number;
  readonly sleeve: number;
  readonly ratio: number;
}

/** Both overlays between the hosts of a lab, over a wire on which every packet is as long as the MTU at most. */
export class Beside {
  readonly #lab: Lab;
  readonly #sleeve: Ends;
  readonly #kernel: Ends;

  private constructor(lab: Lab, sleeve: Ends, kernel: Ends) {
    this.#lab = lab;
    this.#sleeve = sleeve;
    this.#kernel = kernel;
  }

  static async create(lab: Lab): Promise<Beside> {
    const [h1, h2] = lab.hosts;
    await h1.launch();
    await h2.launch();
    const [from, to, address] = [
      await h1.attach("c", "10.32.0.1/12"),
      await h2.attach("c", "10.32.0.2/12"),
      "10.32.0.2",
    ];
    await h2.ok("connect", h1.address);
    await until("a ping is answered", async () => (await from.ping(address, { count: 1 })) === 1);
    const kernel = await vxlan(lab);
    await withoutOffloads(h1, h2);
    return new Beside(lab, { from, to, address }, kernel);
  }

  /** One TCP stream by each: medians of `rounds`, in each of which both are measured. */
  async measure(congestion: string, rounds: number, seconds: number): Promise<Goodput> {
    const run = ({ from, to, address }: Ends) => tcpGbits(from, to, address, { seconds, congestion });
    // Both begin with what they have learnt of this path: the first run is thrown away.
    await run(this.#sleeve);
    const values = { kernel: [] as number[], sleeve: [] as number[] };
    for (let round = 0; round < rounds; round++) {
      values.kernel.push(await run(this.#kernel));
      values.sleeve.push(await run(this.#sleeve));
    }
    const middle = (list: number[]) => median(list.sort((a, b) => a - b));
    const [kernel, sleeve] = [middle(values.kernel), middle(values.sleeve)];
    return { congestion, kernel, sleeve, ratio: sleeve / kernel };
  }

  /** One line of a table: what the wire does, both overlays in `unit`s of so many Gbit/s, what the sender knows. */
  async line(wire: string, { congestion, kernel, sleeve, ratio }: Goodput, unit: number): Promise<string> {
    const [path] = JSON.parse(await this.#lab.hosts[0].report("{{json .Router.OverlayDiagnostics.sleeve}}"));
    const figures = [kernel, sleeve].map((value) => (value / unit).toFixed(unit < 1 ? 1 : 3).padStart(12)).join("   ");
    return `  ${congestion.padEnd(10)} ${wire}   ${figures}   ${ratio.toFixed(2).padStart(5)}   ${path.DatagramsPerRecord} (loss seen: ${path.LossPercent} %)`;
  }
}
