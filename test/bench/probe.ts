import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import type { Ends } from "#test/bench/bed.js";
import { Bisection, type Outcome } from "#test/bench/bisection.js";
import { must, type Namespace } from "#test/lab/namespace.js";

const SOURCE = new URL("../../../test/bench/probe.c", import.meta.url).pathname;
const ANSWER_MS = 20_000;
/** Datagrams that are still on their way when their sender has ended. */
const DRAIN_MS = 120;
/** Datagrams a second. Two runs differ by the precision anyway. */
const RATES = { first: 16_000, lowest: 1_000, highest: 1_000_000, precision: 0.06 };

let port = 7_000;

/** The small programs of probe.c, compiled. */
export class Probe {
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  /** @throws Error: there is no compiler */
  static async compile(folder: string): Promise<Probe> {
    const path = join(folder, "probe");
    await must("gcc", "-O2", "-o", path, SOURCE);
    return new Probe(path);
  }

  /** TCP round trips of one byte, on one connection, for so long: median and 99th percentile in µs. */
  async roundTrips({ from, to, address }: Ends, seconds: number): Promise<{ p50: number; p99: number }> {
    const at = String(port++);
    const answering = await Running.start(to, [this.path, "answer", at]);
    try {
      const output = await from.must(this.path, "ask", address, at, String(seconds));
      const [, p50, p99] = output.trim().split(" ").map(Number);
      return { p50, p99 };
    } finally {
      answering.end();
    }
  }

  /**
   * The most datagrams of `bytes` a second of which no more than each of these shares is lost, in the order of the shares; each rate is
   * sent for `ms`, in bursts of one millisecond, to a socket with the buffer that programs get when they ask for none.
   */
  async lossless({ from, to, address }: Ends, bytes: number, ms: number, shares: readonly number[]): Promise<number[]> {
    const at = String(port++);
    const sink = await Running.start(to, [this.path, "sink", at]);
    try {
      const sender = await Running.start(from, [this.path, "send", address, at]);
      try {
        const run = async (rate: number): Promise<Outcome> => {
          const sent = Number(await sender.ask(`${bytes} ${rate} ${ms}`));
          await sleep(DRAIN_MS);
          const [received] = (await sink.ask("")).split(" ").map(Number);
          return { rate, sent: (sent / ms) * 1_000, received: (received / ms) * 1_000 };
        };
        const search = new Bisection(run, RATES);
        const found: number[] = [];
        for (const share of shares) found.push(await search.search(share));
        return found;
      } finally {
        sender.end();
      }
    } finally {
      sink.end();
    }
  }

  /** Keeps as many processors busy until `run` has ended. */
  async beside<T>(busy: number, namespace: Namespace, run: () => Promise<T>): Promise<T> {
    const spinning = Array.from({ length: busy }, () => namespace.spawn([this.path, "spin"]));
    try {
      return await run();
    } finally {
      for (const child of spinning) child.kill("SIGKILL");
    }
  }
}

/** A program that answers each line by a line. */
class Running {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #lines: AsyncIterator<string>;

  private constructor(child: ChildProcessWithoutNullStreams) {
    this.#child = child;
    // A program that was ended reads no more lines.
    child.stdin.on("error", () => {});
    child.stderr.resume();
    this.#lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  }

  /** Resolves when the program is ready. */
  static async start(namespace: Namespace, command: readonly string[]): Promise<Running> {
    const [file, ...args] = namespace.command(...command);
    const running = new Running(spawn(file, args));
    await running.#next();
    return running;
  }

  async ask(line: string): Promise<string> {
    this.#child.stdin.write(`${line}\n`);
    return this.#next();
  }

  /** @throws Error: the program has ended, or is silent for too long */
  async #next(): Promise<string> {
    const limit = setTimeout(() => this.end(), ANSWER_MS);
    const { value, done } = await this.#lines.next();
    clearTimeout(limit);
    if (done) throw new Error(`a program of the bench ended: ${this.#child.spawnargs.slice(-4).join(" ")}`);
    return value;
  }

  end(): void {
    this.#child.kill("SIGKILL");
  }
}
