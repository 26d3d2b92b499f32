import { VERSION } from "#src/version.js";
import { call } from "./client.js";
import { usage } from "./exit.js";

/** `weave version`: this command's, and the running router's. */
export async function run(args: readonly string[]): Promise<void> {
  if (args.length > 0) throw usage();
  const running = await call({ path: `/report?${new URLSearchParams({ format: "{{.Version}}" })}` }).catch(
    () => undefined,
  );
  process.stdout.write(`weave script ${VERSION}\nweave ${running?.status === 200 ? running.body : VERSION}\n`);
}
