import { call, REPORT_MS } from "#cli/support/client.js";
import { Exit, usageError } from "#cli/support/exit.js";
import { nearest } from "#cli/support/nearest.js";
import { noteOtherVersion } from "#cli/support/version-note.js";

const SECTIONS = ["targets", "connections", "peers", "ipam", "dns"];

/** `weave status [targets|connections|peers|ipam|dns]`: prints the router's status, or one section of it. */
export async function run(args: readonly string[]): Promise<void> {
  if (args.length > 1 || (args.length === 1 && !SECTIONS.includes(args[0]))) {
    const suggestion = nearest(args[0], SECTIONS);
    throw usageError(
      `Invalid 'weave status' sub-command: ${args.join(" ")}${suggestion === undefined || args.length > 1 ? "" : `; did you mean ${suggestion}?`}`,
    );
  }
  const { status, body: text } = await call({ path: ["/status", ...args].join("/"), answerMs: REPORT_MS });
  // A section exists only if its service is on.
  if (status === 404) throw new Exit(1, `${args[0]} is off on this host`);
  if (status !== 200) throw new Exit(1, text.trimEnd());
  // Scripts count the lines, one for each name. So the explanation of an empty list goes to standard error.
  if (args[0] === "dns" && text === "")
    process.stderr.write("No names are registered. 'weave status' shows whether weaveDNS answers.\n");
  process.stdout.write(args.length === 0 ? `\n${text}\n` : text);
  if (args.length === 0) noteOtherVersion(/^ *Version: (\S+)/m.exec(text)?.[1]);
}
