import { randomBytes } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { documentOutput, type FrameOutput, fileOutput, lineOutput, pipeOutput } from "#cli/capture/frame-output.js";
import { documentText } from "#cli/json/document.js";
import { call, openStream } from "#cli/support/client.js";
import { usageError } from "#cli/support/exit.js";
import { readFlags } from "#cli/support/read-flags.js";
import { TITLE_HEADER } from "#router/capture/capture-call.js";
import { errorText, WeaveError } from "#src/errors.js";
import { controlSocket, paths } from "#src/paths.js";
import { PACKET } from "#src/pcapng/format.js";
import { type Block, BlockSplitter, type ReadStatistics, readStatistics } from "#src/pcapng/read.js";
import { requireRoot } from "#src/root.js";

/** How long the last frames may take after Ctrl-C. */
const STOP_MS = 3_000;

/** `weave capture TARGET [-w FILE] [-c COUNT] [--seconds N] [--size BYTES] [--snaplen BYTES] [FILTER…]` */
export async function run(args: readonly string[]): Promise<void> {
  const { values, words } = readFlags("capture", args);
  const [target, ...filter] = words;
  if (target === undefined) throw usageError("name a peer, a container or an interface of weave");
  const { file, json } = values;
  if (file === "-" && (process.stdout.isTTY || json))
    throw usageError("pcapng is not for a terminal, and is no JSON: give -w a file, or send the output into a pipe");
  requireRoot();
  const form = new URLSearchParams({ filter: filter.join(" ") });
  for (const name of ["count", "seconds", "size", "snaplen"] as const)
    if (values[name] !== undefined) form.set(name, String(values[name]));
  const key = randomBytes(8).toString("hex");
  form.set("key", key);
  const incoming = await openStream(`/capture/${encodeURIComponent(ownProcess(target))}`, form);
  let output: FrameOutput;
  try {
    output = outputFor(file, json);
  } catch (error) {
    incoming.destroy();
    throw error;
  }
  const title = decodeURIComponent(String(incoming.headers[TITLE_HEADER] ?? ""));
  if (process.stderr.isTTY) process.stderr.write(`Capturing ${title}; Ctrl-C ends it.\n`);
  const { frames, dropped, end } = await copy(incoming, output, key);
  if (json) {
    const path = file === undefined ? null : file;
    const fields = {
      File: path,
      Bytes: file === undefined ? 0 : output.bytes,
      Frames: frames,
      Dropped: dropped,
      End: end,
    };
    process.stdout.write(documentText("capture", fields, true));
    return;
  }
  const where = file === undefined || file === "-" ? "" : ` in ${file} (${output.bytes} bytes)`;
  process.stderr.write(`${frames} frames captured${where}, ${dropped} dropped: ${end}\n`);
}

/** In `/proc/self/…`, `self` is this command's process, not the router's. */
const ownProcess = (target: string): string => target.replace(/^\/proc\/self\//, `/proc/${process.pid}/`);

function outputFor(file: string | undefined, json: boolean): FrameOutput {
  if (file !== undefined && file !== "-") return fileOutput(file);
  if (json) return documentOutput();
  return process.stdout.isTTY && file === undefined ? lineOutput() : pipeOutput();
}

interface Summary {
  readonly frames: number;
  readonly dropped: number;
  readonly end: string;
}

/** Copies the capture until it ends, or a signal ends it. What is written is whole in any case. @throws WEAVE_FILE, WEAVE_NOT_RUNNING */
async function copy(incoming: IncomingMessage, output: FrameOutput, key: string): Promise<Summary> {
  let stopped = false;
  const stop = () => {
    stopped = true;
    const left = () => incoming.destroy();
    setTimeout(left, STOP_MS).unref();
    call({ method: "DELETE", path: `/capture/${key}`, address: controlSocket(paths().run), answerMs: STOP_MS }).catch(
      left,
    );
  };
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, stop);
  const numbers = new Map<number, NumberedInterface>();
  let frames = 0;
  let failure: unknown;
  try {
    const splitter = new BlockSplitter();
    for await (const chunk of incoming) {
      const kept = splitter.push(chunk as Buffer).filter((block) => !keepNumbers(block, numbers));
      await output.write(kept);
      frames += kept.filter(({ type }) => type === PACKET).length;
    }
  } catch (error) {
    if (!stopped) failure = error;
  }
  incoming.destroy();
  const last = [...numbers.values()];
  try {
    if (!isFileError(failure)) await output.write(last.map(({ block }) => block));
  } catch (error) {
    failure ??= error;
  } finally {
    output.close();
  }
  if (failure !== undefined) throw isFileError(failure) ? failure : interrupted(failure, frames);
  const dropped = last.reduce((sum, each) => sum + each.statistics.dropped, 0);
  const reason = last.map(({ statistics }) => statistics.comment).find((comment) => comment !== "");
  return { frames, dropped, end: reason ?? (stopped ? "stopped" : "the router ended it") };
}

interface NumberedInterface {
  readonly block: Block;
  readonly statistics: ReadStatistics;
}

/** Keeps the numbers of an interface: the last ones are written at the end. @returns whether the block has some */
function keepNumbers(block: Block, numbers: Map<number, NumberedInterface>): boolean {
  const statistics = readStatistics(block);
  if (statistics !== undefined) numbers.set(statistics.interface, { block, statistics });
  return statistics !== undefined;
}

const isFileError = (error: unknown): boolean => error instanceof WeaveError && error.code === "WEAVE_FILE";

const interrupted = (cause: unknown, frames: number): WeaveError =>
  new WeaveError("WEAVE_NOT_RUNNING", `the capture was interrupted after ${frames} frames: ${errorText(cause)}`, {
    cause,
    next: "The router may have ended: see 'weave status'. What was captured before is whole.",
  });
