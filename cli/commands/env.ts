import { Exit, rejectExtra } from "#cli/support/exit.js";
import { proxyAddress } from "#cli/support/proxy-address.js";
import { readFlags } from "#cli/support/read-flags.js";
import { errorText } from "#src/errors.js";

/**
 * `weave env [--restore]`: prints shell commands for `eval $(weave env)`. Without a running router it prints none on standard output, with
 * status 0, so that a shell whose profile contains it starts.
 */
export async function run(args: readonly string[]): Promise<void> {
  const { values, words } = readFlags("env", args);
  rejectExtra(words);
  if (values.restore) return restore();
  let address: string | undefined;
  try {
    address = await proxyAddress(process.env);
    if (address === undefined) process.stderr.write("weave runs without its Docker proxy on this host.\n");
  } catch (error) {
    process.stderr.write(`${errorText(error)}\n`);
  }
  if (address === undefined) return;
  const before = process.env.DOCKER_HOST ?? "";
  process.stdout.write(`export DOCKER_HOST=${address} ${before === address ? "" : `ORIG_DOCKER_HOST=${before}`}\n`);
}

function restore(): void {
  const before = process.env.ORIG_DOCKER_HOST;
  if (before === undefined) {
    throw new Exit(
      1,
      "Nothing to restore. This is most likely because there was no preceding invocation of 'eval $(weave env)' in this shell.",
    );
  }
  process.stdout.write(`DOCKER_HOST=${before}\n`);
}
