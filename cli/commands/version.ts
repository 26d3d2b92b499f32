import { call } from "#cli/support/client.js";
import { rejectExtra } from "#cli/support/exit.js";
import { readFlags } from "#cli/support/read-flags.js";
import { VERSION } from "#src/version.js";

/** `weave version`: prints the versions of this command and of the running router. */
export async function run(args: readonly string[]): Promise<void> {
  rejectExtra(readFlags("version", args).words);
  const running = await call({ path: `/report?${new URLSearchParams({ format: "{{.Version}}" })}` }).catch(
    () => undefined,
  );
  process.stdout.write(`weave command ${VERSION}\nweave ${running?.status === 200 ? running.body : VERSION}\n`);
}
