import { COMMANDS, type CommandRow } from "#cli/support/command-table.js";
import { usageError } from "#cli/support/exit.js";
import { type Parsed, parseFlags } from "#cli/support/parse-flags.js";
import { WeaveError } from "#src/errors.js";
import type { Rows } from "#src/flag.js";

type FlagsOf<C> = C extends { readonly flags: infer R extends Rows } ? R : Record<never, never>;

/**
 * Parses the arguments of a command by its flags in the command table.
 *
 * @throws UsageError
 */
export function readFlags<N extends keyof typeof COMMANDS>(
  name: N,
  args: readonly string[],
): Parsed<FlagsOf<(typeof COMMANDS)[N]>> {
  const { flags = {} }: CommandRow = COMMANDS[name];
  const unknown = (typed: string, suggestion: string | undefined) =>
    usageError(`unknown flag: ${typed}${suggestion === undefined ? "" : `; did you mean ${suggestion}?`}`);
  try {
    const parsed = parseFlags(flags, args, process.env, unknown);
    if (parsed.doubled.length > 0) throw usageError(`${parsed.doubled[0]} is given more than once`);
    return parsed as Parsed<FlagsOf<(typeof COMMANDS)[N]>>;
  } catch (error) {
    throw error instanceof WeaveError ? usageError(error.message) : error;
  }
}
