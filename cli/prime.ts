import { takeTimeout } from "./arguments.js";
import { Exit, usage } from "./exit.js";
import { patiently } from "./ipam.js";

/** `weave prime [--timeout seconds]`: returns when addresses can be allocated. */
export async function run(args: readonly string[]): Promise<void> {
  const { timeout, rest } = takeTimeout(args);
  if (rest.length > 0) throw usage();
  const query = new URLSearchParams(timeout === undefined ? {} : { timeout });
  const { status, body } = await patiently("", { path: `/ring?${query}` });
  if (status === 404) throw new Exit(4);
  if (status !== 200) throw new Exit(1, body.trimEnd());
}
