import { printDocument } from "#cli/json/document.js";
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
  if (values.restore) return restore(values.json);
  let address: string | undefined;
  try {
    address = await proxyAddress(process.env);
    if (address === undefined) process.stderr.write("weave runs without its Docker proxy on this host.\n");
  } catch (error) {
    process.stderr.write(`${errorText(error)}\n`);
  }
  const before = process.env.DOCKER_HOST ?? "";
  if (values.json) return printVariables(address, before === address ? undefined : before);
  if (address === undefined) return;
  process.stdout.write(`export DOCKER_HOST=${address} ${before === address ? "" : `ORIG_DOCKER_HOST=${before}`}\n`);
}

function printVariables(now: string | undefined, before: string | undefined): void {
  printDocument("env", { DOCKER_HOST: now ?? null, ORIG_DOCKER_HOST: before ?? null });
}

function restore(json: boolean): void {
  const before = process.env.ORIG_DOCKER_HOST;
  if (before === undefined) {
    throw new Exit(
      1,
      "Nothing to restore. This is most likely because there was no preceding invocation of 'eval $(weave env)' in this shell.",
    );
  }
  if (json) return printVariables(before, undefined);
  process.stdout.write(`DOCKER_HOST=${before}\n`);
}
