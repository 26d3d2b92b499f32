import { createInterface } from "node:readline/promises";
import { Writable } from "node:stream";
import { linesOf, printDocument } from "#cli/json/document.js";
import { readPassword } from "#cli/launch/password-file.js";
import { call, mustCall } from "#cli/support/client.js";
import { Exit, usageError } from "#cli/support/exit.js";
import { readFlags } from "#cli/support/read-flags.js";
import { type SecretReport, secretBlocks } from "#router/peers/rekey-report.js";
import { controlSocket, paths } from "#src/paths.js";
import { requireRoot } from "#src/root.js";

const SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400 };
const secondsOf = (time: string): string => `${Number(time.slice(0, -1)) * SECONDS[time.slice(-1)]}`;

/** `weave rekey [--password-file FILE] [--exclude PEER]…`: changes the network's password; `weave rekey status`. */
export async function run(args: readonly string[]): Promise<void> {
  const { values, words } = readFlags("rekey", args);
  if (words.length === 1 && words[0] === "status") return status(values.json);
  // A password among the arguments would be in the list of processes.
  if (words.length > 0) throw usageError("a password is not an argument: use --password-file, or standard input");
  const { passwordFile, exclude, deadline, acceptOld, open } = values;
  if (open && (passwordFile !== undefined || exclude.length > 0))
    throw usageError("--open is for a network without a password: give no --password-file and no --exclude");
  requireRoot();
  const form = new URLSearchParams(exclude.map((peer): [string, string] => ["exclude", peer]));
  if (open) form.set("open", "true");
  else form.set("password", await newPassword(passwordFile));
  if (deadline !== undefined) form.set("deadline", secondsOf(deadline));
  if (acceptOld !== undefined) form.set("accept-old", secondsOf(acceptOld));
  const text = await mustCall({ method: "POST", path: "/rekey", form, address: controlSocket(paths().run) });
  if (values.json) return printDocument("rekey", { Lines: linesOf(text) });
  process.stdout.write(text);
}

async function status(json: boolean): Promise<void> {
  const { status: code, body } = await call({ path: "/rekey" });
  if (code !== 200) throw new Exit(1, body.trimEnd());
  const report = JSON.parse(body) as SecretReport;
  if (json) return printDocument("rekey-status", report);
  const blocks = secretBlocks(report);
  process.stdout.write(
    blocks.length === 0
      ? "The password has not been changed since this host was launched with it.\n"
      : blocks.join("\n"),
  );
}

/** Reads the new password from a file or from standard input; on a terminal it is typed twice, and not shown. */
async function newPassword(file: string | undefined): Promise<string> {
  const warn = (text: string) => void process.stderr.write(`${text}\n`);
  if (file !== undefined) return readPassword(file, warn);
  if (!process.stdin.isTTY) return readPassword("/dev/stdin", () => {});
  const [first, second] = [await typed("New password: "), await typed("Again: ")];
  if (first !== second) throw new Exit(1, "the two passwords differ");
  return first;
}

async function typed(prompt: string): Promise<string> {
  process.stderr.write(prompt);
  const silent = new Writable({ write: (_, __, done) => done() });
  const lines = createInterface({ input: process.stdin, output: silent, terminal: true });
  try {
    return await lines.question("");
  } finally {
    lines.close();
    process.stderr.write("\n");
  }
}
