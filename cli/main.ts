import { wantsJson } from "#cli/json/document.js";
import { loadCommand } from "#cli/load-command.js";
import { COMMANDS, type CommandRow } from "#cli/support/command-table.js";
import { checkEnvironment } from "#cli/support/environment.js";
import { Exit, printFailure, statusOf, UsageError } from "#cli/support/exit.js";
import { systemCode } from "#src/errors.js";
import { missingModule } from "#src/installation.js";
import { nearest } from "#src/nearest.js";

const help = () => import("#cli/help.js");

const WORDS_FOR_HELP = ["help", "--help", "-h"];
/** Commands whose flag `-h` is a host name. */
const HAS_OWN_H = ["expose", "dns-add", "dns-remove"];

/** Commands that Weave Net removed in version 2.0. */
const REMOVED = [
  "run",
  "start",
  "launch-plugin",
  "stop-plugin",
  "launch-proxy",
  "stop-proxy",
  "launch-router",
  "stop-router",
];

/** Runs the `weave` command. @param argv the arguments after its name */
export async function main(argv: readonly string[]): Promise<void> {
  // A reader such as `head -1` closes the pipe early, which is no failure.
  for (const stream of [process.stdout, process.stderr])
    stream.on("error", (error) => process.exit(systemCode(error) === "EPIPE" ? 0 : 1));
  // Without this flag Weave Net runs its commands in a container. Here they always run on the host.
  const [name, ...args] = argv[0] === "--local" ? argv.slice(1) : argv;
  try {
    await dispatch(name, args);
  } catch (error) {
    process.exitCode = printFailure(error);
  }
}

async function dispatch(name: string | undefined, args: readonly string[]): Promise<void> {
  if (name === undefined) throw new Exit(1, (await (await help()).allUsage()).trimEnd());
  const [first] = args;
  if (name === "help" && first !== undefined && !WORDS_FOR_HELP.includes(first)) return explain(nameOf(first));
  if (WORDS_FOR_HELP.includes(name)) {
    process.stdout.write(await (await help()).allUsage());
    return;
  }
  const command = nameOf(name);
  if (args.includes("--help") || (args.includes("-h") && !HAS_OWN_H.includes(command))) return explain(command);
  try {
    checkEnvironment(process.env);
    const { run } = await loadCommand(command);
    await run(args);
  } catch (error) {
    if (hasJson(command) && wantsJson(args)) return failAsJson(error);
    if (!(error instanceof UsageError)) throw error;
    throw new Exit(1, `${error.message}\n\n${(await help()).usageOf(command).trimEnd()}`);
  }
}

/** Whether a command can print JSON. The flags of `launch` are not in the table of commands. */
function hasJson(command: string): boolean {
  const row: CommandRow = COMMANDS[command as keyof typeof COMMANDS];
  return command === "launch" || row.flags?.json !== undefined;
}

/** Reports the error that ended a command as JSON on standard error. */
async function failAsJson(thrown: unknown): Promise<void> {
  const { failureDocument } = await import("#cli/support/failure-document.js");
  const error = missingModule(thrown) ?? thrown;
  process.exitCode = statusOf(error);
  process.stderr.write(failureDocument(error, process.exitCode));
}

async function explain(command: string): Promise<void> {
  process.stdout.write(await (await help()).helpOf(command));
}

/** The command that a word names. @throws Exit when there is none */
function nameOf(word: string): string {
  if (word === "--version" || word === "-v") return "version";
  // The name of `env` before Weave Net 2.0.
  if (word === "proxy-env") return "env";
  if (Object.hasOwn(COMMANDS, word)) return word;
  if (REMOVED.includes(word)) {
    throw new Exit(
      1,
      `The 'weave ${word}' command has been removed as of Weave Net version 2.0\nPlease see release notes for further information`,
    );
  }
  const suggestion = nearest(word, Object.keys(COMMANDS));
  throw new Exit(
    1,
    `Unknown weave command '${word.slice(0, 64)}'\n${suggestion === undefined ? "" : `Did you mean 'weave ${suggestion}'? `}See 'weave help'.`,
  );
}
