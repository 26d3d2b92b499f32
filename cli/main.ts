import { checkEnvironment } from "#cli/support/environment.js";
import { Exit, printFailure, UsageError } from "#cli/support/exit.js";
import { nearest } from "#cli/support/nearest.js";
import { systemCode } from "#src/errors.js";

type Run = (args: readonly string[]) => Promise<void>;

/** Each command is loaded when it is called: `weave status` must not wait for what `launch` needs. */
export const LOADERS: Readonly<Record<string, () => Promise<{ run: Run }>>> = {
  attach: () => import("#cli/commands/attach.js"),
  config: () => import("#cli/commands/config.js"),
  connect: () => import("#cli/commands/connect.js"),
  "dns-add": () => import("#cli/commands/dns-add.js"),
  "dns-args": () => import("#cli/commands/dns-args.js"),
  "dns-lookup": () => import("#cli/commands/dns-lookup.js"),
  "dns-remove": () => import("#cli/commands/dns-remove.js"),
  "docker-bridge-ip": () => import("#cli/commands/docker-bridge-ip.js"),
  detach: () => import("#cli/commands/detach.js"),
  env: () => import("#cli/commands/env.js"),
  expose: () => import("#cli/commands/expose.js"),
  forget: () => import("#cli/commands/forget.js"),
  hide: () => import("#cli/commands/hide.js"),
  ipam: () => import("#cli/commands/ipam.js"),
  launch: () => import("#cli/commands/launch.js"),
  prime: () => import("#cli/commands/prime.js"),
  ps: () => import("#cli/commands/ps.js"),
  report: () => import("#cli/commands/report.js"),
  reset: () => import("#cli/commands/reset.js"),
  rmpeer: () => import("#cli/commands/rmpeer.js"),
  setup: () => import("#cli/commands/setup.js"),
  status: () => import("#cli/commands/status.js"),
  stop: () => import("#cli/commands/stop.js"),
  version: () => import("#cli/commands/version.js"),
};

const help = () => import("#cli/help.js");

const WORDS_FOR_HELP = ["help", "--help", "-h"];
/** For these `-h` has a host name. */
const HAS_OWN_H = ["expose", "dns-add", "dns-remove"];

/** Commands that Weave Net dropped with 2.0. */
const REMOVED = [
  "run",
  "start",
  "restart",
  "launch-plugin",
  "stop-plugin",
  "launch-proxy",
  "stop-proxy",
  "launch-router",
  "stop-router",
];

/** The `weave` command. */
export async function main(argv: readonly string[]): Promise<void> {
  // A reader of the first lines alone (`head -1`) closes the pipe: no failure.
  for (const stream of [process.stdout, process.stderr])
    stream.on("error", (error) => process.exit(systemCode(error) === "EPIPE" ? 0 : 1));
  // Weave Net runs its commands in a container without this flag; here they always run in place.
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
  checkEnvironment(process.env);
  try {
    const { run } = await LOADERS[command]();
    await run(args);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    throw new Exit(1, `${error.message}\n\n${(await help()).usageOf(command).trimEnd()}`);
  }
}

async function explain(command: string): Promise<void> {
  process.stdout.write(await (await help()).helpOf(command));
}

/** The command that a word means. @throws Exit: there is none */
function nameOf(word: string): string {
  if (word === "--version" || word === "-v") return "version";
  // Its name before Weave Net 2.0.
  if (word === "proxy-env") return "env";
  if (Object.hasOwn(LOADERS, word)) return word;
  if (REMOVED.includes(word)) {
    throw new Exit(
      1,
      `The 'weave ${word}' command has been removed as of Weave Net version 2.0\nPlease see release notes for further information`,
    );
  }
  const meant = nearest(word, [...Object.keys(LOADERS), "help"]);
  throw new Exit(
    1,
    `Unknown weave command '${word.slice(0, 64)}'\n${meant === undefined ? "" : `Did you mean 'weave ${meant}'? `}See 'weave help'.`,
  );
}
