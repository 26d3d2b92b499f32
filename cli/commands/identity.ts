import { printDocument } from "#cli/json/document.js";
import { callJson } from "#cli/support/client.js";
import { rejectExtra } from "#cli/support/exit.js";
import { readFlags } from "#cli/support/read-flags.js";
import type { IdentityReport } from "#router/peers/trust-report.js";
import { statusLine } from "#router/service.js";

/** `weave identity [--json]`: prints the identity of this host's peer. */
export async function run(args: readonly string[]): Promise<void> {
  const { values, words } = readFlags("identity", args);
  rejectExtra(words);
  const report = await callJson<IdentityReport>({ path: "/identity" });
  if (values.json) return printDocument("identity", report);
  process.stdout.write(identityText(report));
}

/** The identity for people. */
export function identityText({ Name, NickName, Fingerprint, Key, Since, Password, Conflicts }: IdentityReport): string {
  return [
    statusLine("Name", Name),
    statusLine("Nickname", NickName),
    statusLine("Fingerprint", Fingerprint),
    statusLine("Key", Key),
    statusLine("Since", Since),
    statusLine("Password", Password ? "set" : "none: any host that reaches this one can become a peer"),
    ...Conflicts.map((conflict) => statusLine("Conflict", conflict)),
  ].join("");
}
