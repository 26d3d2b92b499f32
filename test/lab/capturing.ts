import type { ChildProcess } from "node:child_process";
import { existsSync, readFileSync, statSync } from "node:fs";
import { PACKET } from "#src/pcapng/format.js";
import { BlockSplitter, type ReadPacket, readPacket, readStatistics } from "#src/pcapng/read.js";
import { type Host, WEAVE } from "#test/lab/host.js";
import { execute } from "#test/lab/namespace.js";
import { environmentOf } from "#test/lab/router-process.js";
import { until } from "#test/lab/wait.js";

/** A file of pcapng, read by this project's own reader: an error for one that is not whole. */
export function readCapture(file: string): { packets: ReadPacket[]; received: number; dropped: number; end: string } {
  const splitter = new BlockSplitter();
  const blocks = splitter.push(readFileSync(file));
  if (splitter.pending > 0) throw new Error(`${splitter.pending} bytes after the last whole block`);
  const numbers = blocks.flatMap((block) => readStatistics(block) ?? []);
  return {
    packets: blocks.filter(({ type }) => type === PACKET).map((block) => readPacket(block)!),
    received: numbers.reduce((sum, each) => sum + each.received, 0),
    dropped: numbers.reduce((sum, each) => sum + each.dropped, 0),
    end: numbers.at(-1)?.comment ?? "",
  };
}

/** A `weave capture` that writes to a file, in the background. */
export class RunningCapture {
  readonly file: string;
  readonly #child: ChildProcess;
  readonly #result: Promise<{ code: number | null; stderr: string }>;

  private constructor(file: string, child: ChildProcess) {
    this.file = file;
    this.#child = child;
    let stderr = "";
    child.stderr!.on("data", (chunk: Buffer) => {
      stderr += chunk;
    });
    this.#result = new Promise((resolve) => child.once("close", (code) => resolve({ code, stderr })));
  }

  /** Resolves when it captures. @param args target, flags and filter, without -w */
  static async start(host: Host, file: string, ...args: string[]): Promise<RunningCapture> {
    const child = host.spawn(["env", ...environmentOf(host), WEAVE, "capture", ...args, "-w", file]);
    const capture = new RunningCapture(file, child);
    await until(`weave capture ${args.join(" ")} begins`, () => existsSync(file) && statSync(file).size > 0);
    return capture;
  }

  /** Ends it, as Ctrl-C does. */
  stop(): Promise<{ code: number | null; stderr: string }> {
    this.#child.kill("SIGINT");
    return this.#result;
  }

  /** Its end by itself. */
  get ended(): Promise<{ code: number | null; stderr: string }> {
    return this.#result;
  }
}

/** Fields of all frames by tshark, with all checksums checked. */
export async function tshark(file: string, fields: readonly string[], filter = ""): Promise<string[][]> {
  const checks = ["ip.check_checksum", "tcp.check_checksum", "udp.check_checksum"].flatMap((name) => [
    "-o",
    `${name}:TRUE`,
  ]);
  const shown = fields.flatMap((field) => ["-e", field]);
  const { code, stdout, stderr } = await execute("tshark", [
    ...["-n", "-r", file, ...checks, "-T", "fields", ...shown],
    ...(filter === "" ? [] : ["-Y", filter]),
  ]);
  if (code !== 0) throw new Error(`tshark: ${stderr}`);
  return stdout
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => line.split("\t"));
}
