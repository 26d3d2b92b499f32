import { linesOf, printDocument } from "#cli/json/document.js";
import { callJson, mustCall } from "#cli/support/client.js";
import { rejectExtra, usageError } from "#cli/support/exit.js";
import { readFlags } from "#cli/support/read-flags.js";
import type { TrustReport } from "#router/peers/trust-report.js";

/** `weave trust [ls] [--json]`, `weave trust forget PEER…`: the identities of other peers, as this host has pinned them. */
export async function run(args: readonly string[]): Promise<void> {
  const { values, words } = readFlags("trust", args);
  const [word = "ls", ...more] = words;
  if (word === "forget") return forget(more, values.json);
  if (word !== "ls") throw usageError(`unknown sub-command: ${word}`);
  rejectExtra(more);
  const report = await callJson<TrustReport>({ path: "/trust" });
  if (values.json) return printDocument("trust", report);
  process.stdout.write(trustText(report));
}

async function forget(peers: readonly string[], json: boolean): Promise<void> {
  if (peers.length === 0) throw usageError("a peer is missing: its name, nickname or fingerprint");
  const lines: string[] = [];
  for (const peer of peers) {
    const text = await mustCall({ method: "DELETE", path: `/trust/${encodeURIComponent(peer)}` });
    lines.push(...linesOf(text));
    if (!json) process.stdout.write(text);
  }
  if (json) printDocument("trust-forget", { Lines: lines });
}

const HEAD = ["NAME", "NICKNAME", "FINGERPRINT", "FIRST SEEN", "LAST SEEN", "HOW", "STATE"];

/** The table of pins, and under it the conflicts. */
export function trustText({ Pins, Excluded, Conflicts }: TrustReport): string {
  const rows = Pins.map(({ Name, NickName, Fingerprint, FirstSeen, LastSeen, How, State }) => [
    ...[Name, NickName, Fingerprint, FirstSeen, LastSeen, How, State],
  ]);
  const others = Excluded.map(({ Name, NickName, Fingerprint }) => [
    ...[Name || "-", NickName || "-", Fingerprint, "-", "-", "-", "excluded"],
  ]);
  const table = [HEAD, ...rows, ...others];
  const widths = HEAD.map((_, column) => Math.max(...table.map((row) => row[column].length)));
  const lines = table.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column]))
      .join("  ")
      .trimEnd(),
  );
  return [...lines, ...Conflicts.map((conflict) => `conflict: ${conflict}`)].map((line) => `${line}\n`).join("");
}
