import { Exit, report, usage } from "./exit.js";
import { USAGE } from "./usage.js";

type Run = (args: readonly string[]) => Promise<void>;

/** Each command is loaded when it is called: `weave status` must not wait for what `launch` needs. */
const COMMANDS: Readonly<Record<string, () => Promise<{ run: Run }>>> = {
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
  "proxy-env": () => import("./env.js"),
  report: () => import("./report.js"),
  reset: () => import("./reset.js"),
  rmpeer: () => import("./rmpeer.js"),
  setup: () => import("./setup.js"),
  status: () => import("./status.js"),
  stop: () => import("./stop.js"),
  version: () => import("./version.js"),
};

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
  // The original runs in a container unless told otherwise; we always run in place.
  const [name, ...args] = argv[0] === "--local" ? argv.slice(1) : argv;
  try {
    await dispatch(name, args);
  } catch (error) {
    process.exitCode = report(error);
  }
}

async function dispatch(name: string | undefined, args: readonly string[]): Promise<void> {
  if (name === undefined) throw usage();
  if (name === "help" || name === "--help" || name === "-h" || args.includes("--help")) {
    process.stderr.write(USAGE);
    return;
  }
  if (REMOVED.includes(name)) {
    throw new Exit(
      1,
      `The 'weave ${name}' command has been removed as of Weave Net version 2.0\nPlease see release notes for further information`,
    );
  }
  const plain = name === "--version" ? "version" : name;
  const command = Object.hasOwn(COMMANDS, plain) ? COMMANDS[plain] : undefined;
  if (command === undefined) throw usage(`Unknown weave command '${name.slice(0, 64)}'`);
  const { run } = await command();
  await run(args);
}
