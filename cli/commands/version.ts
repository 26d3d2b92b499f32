import { printDocument } from "#cli/json/document.js";
import { call } from "#cli/support/client.js";
import { rejectExtra } from "#cli/support/exit.js";
import { readFlags } from "#cli/support/read-flags.js";
import { noteOtherVersion } from "#cli/support/version-note.js";
import { VERSION } from "#src/version.js";

/** `weave version`: prints the versions of this command and of the running router. */
export async function run(args: readonly string[]): Promise<void> {
  const { values, words } = readFlags("version", args);
  rejectExtra(words);
  const reply = await call({ path: `/report?${new URLSearchParams({ format: "{{.Version}}" })}` }).catch(
    () => undefined,
  );
  const running = reply?.status === 200 ? reply.body : undefined;
  if (values.json) return printDocument("version", { Command: VERSION, Router: running ?? null });
  process.stdout.write(`weave command ${VERSION}\nweave ${running ?? VERSION}\n`);
  noteOtherVersion(running);
}
