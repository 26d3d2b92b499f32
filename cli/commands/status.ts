import { setTimeout as sleep } from "node:timers/promises";
import { documentText } from "#cli/json/document.js";
import { STATUS_DOCUMENTS, type StatusSource } from "#cli/json/status-documents.js";
import { call, REPORT_MS } from "#cli/support/client.js";
import { Exit, usageError } from "#cli/support/exit.js";
import { fullReport } from "#cli/support/full-report.js";
import { readFlags } from "#cli/support/read-flags.js";
import { noteOtherVersion } from "#cli/support/version-note.js";
import { errorText, WeaveError } from "#src/errors.js";
import { nearest } from "#src/nearest.js";

const SECTIONS = ["targets", "connections", "peers", "ipam", "dns"];
/** Default time between two outputs of `--watch`. */
const INTERVAL_S = 2;
/** Clears the screen and moves the cursor to its start (ECMA-48: ED, CUP). */
const CLEAR = "\u001B[2J\u001B[H";

/** `weave status [targets|connections|peers|ipam|dns] [--json] [--watch]`: prints the router's status, or one section of it. */
export async function run(args: readonly string[]): Promise<void> {
  const { values, words } = readFlags("status", args);
  if (words.length > 1 || (words.length === 1 && !SECTIONS.includes(words[0]))) {
    const suggestion = nearest(words[0], SECTIONS);
    throw usageError(
      `Invalid 'weave status' sub-command: ${words.join(" ")}${suggestion === undefined || words.length > 1 ? "" : `; did you mean ${suggestion}?`}`,
    );
  }
  const [section = ""] = words;
  if (values.interval !== undefined && !values.watch) throw usageError("--interval is for --watch");
  const output = () => (values.json ? documentOf(section, values.watch) : textOf(section));
  if (values.watch) return watch(output, (values.interval ?? INTERVAL_S) * 1_000);
  const { text, notes } = await output();
  for (const note of notes) process.stderr.write(note);
  process.stdout.write(text);
  if (section === "" && !values.json) noteOtherVersion(/^ *Version: (\S+)/m.exec(text)?.[1]);
}

interface Output {
  readonly text: string;
  /** For standard error. */
  readonly notes: readonly string[];
}

async function textOf(section: string): Promise<Output> {
  const path = section === "" ? "/status" : `/status/${section}`;
  const { status, body: text } = await call({ path, answerMs: REPORT_MS });
  // A section exists only if its service is on.
  if (status === 404) throw isOff(section);
  if (status !== 200) throw new Exit(1, text.trimEnd());
  // Scripts count the lines, one for each name. So the explanation of an empty list goes to standard error.
  const isEmpty = section === "dns" && text === "";
  const notes = isEmpty ? ["No names are registered. 'weave status' shows whether weaveDNS answers.\n"] : [];
  return { text: section === "" ? `\n${text}\n` : text, notes };
}

async function documentOf(section: string, compact: boolean): Promise<Output> {
  const { shape, make } = STATUS_DOCUMENTS[section];
  const fields = make(await fullReport<StatusSource>());
  if (fields === undefined) throw isOff(section);
  return { text: documentText(shape, fields, compact), notes: [] };
}

const isOff = (section: string): Exit => new Exit(1, `${section} is off on this host`);

/** Prints again and again: on a terminal over the last output. A router that is gone may return, so its absence is printed as well. */
async function watch(output: () => Promise<Output>, intervalMs: number): Promise<never> {
  for (;;) {
    try {
      const { text, notes } = await output();
      process.stdout.write(`${process.stdout.isTTY ? CLEAR : ""}${text}`);
      for (const note of notes) process.stderr.write(note);
    } catch (error) {
      if (!(error instanceof WeaveError && error.code === "WEAVE_NOT_RUNNING")) throw error;
      process.stderr.write(`${process.stderr.isTTY ? CLEAR : ""}${errorText(error)}\n`);
    }
    await sleep(intervalMs);
  }
}
