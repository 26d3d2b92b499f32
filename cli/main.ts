import { systemCode } from "#src/errors.js";
import { checkEnvironment } from "./environment.js";
import { Exit, report, UsageError } from "./exit.js";
import { nearest } from "./nearest.js";

type Run = (args: readonly string[]) => Promise<void>;

/** Each command is loaded when it is called: `weave status` must not wait for what `launch` needs. */
export const COMMANDS: Readonly<Record<string, () => Promise<{ run: Run }>>> = {
  attach: () => import("./attach.js"),
  config: () => import("./config.js"),
  connect: () => import("./connect.js"),
  "dns-add": () => import("./dns-add.js"),
  "dns-args": () => import("./dns-args.js"),
  "dns-lookup": () => import("./dns-lookup.js"),
  "dns-remove": () => import("./dns-remove.js"),
  "docker-bridge-ip": () => import("./docker-bridge-ip.js"),
  detach: () => import("./detach.js"),
  env: () => import("./env.js"),
  expose: () => import("./expose.js"),
  forget: () => import("./forget.js"),
  hide: () => import("./hide.js"),
  ipam: () => import("./explain.js"),
  launch: () => import("./launch.js"),
  prime: () => import("./prime.js"),
  ps: () => import("./ps.js"),
  report: () => import("./report.js"),
  reset: () => import("./reset.js"),
  rmpeer: () => import("./rmpeer.js"),
  setup: () => import("./setup.js"),
  status: () => import("./status.js"),
  stop: () => import("./stop.js"),
  version: () => import("./version.js"),
};

const help = () => import("./help.js");

const WORDS_FOR_HELP = ["help", "--help", "-h"];
/** To these `-h` gives a host name. */
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
  // Who reads only the first lines of what a command prints (`head -1`) has what he wants.
  for (const stream of [process.stdout, process.stderr])
    stream.on("error", (error) => process.exit(systemCode(error) === "EPIPE" ? 0 : 1));
  // The original runs in a container unless told otherwise; we always run in place.
  const [name, ...args] = argv[0] === "--local" ? argv.slice(1) : argv;
  try {
    await dispatch(name, args);
  } catch (error) {
    process.exitCode = report(error);
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
    const { run } = await COMMANDS[command]();
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
  if (Object.hasOwn(COMMANDS, word)) return word;
  if (REMOVED.includes(word)) {
    throw new Exit(
      1,
      `The 'weave ${word}' command has been removed as of Weave Net version 2.0\nPlease see release notes for further information`,
    );
  }
  const meant = nearest(word, [...Object.keys(COMMANDS), "help"]);
  throw new Exit(
    1,
    `Unknown weave command '${word.slice(0, 64)}'\n${meant === undefined ? "" : `Did you mean 'weave ${meant}'? `}See 'weave help'.`,
  );
}
