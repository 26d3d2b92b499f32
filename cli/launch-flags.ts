import { hostname } from "node:os";
import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { parseOffloads } from "#router/datapath/offloads.js";
import type { RouterOptions } from "#router/options.js";
import { invalidValue, WeaveError } from "#src/errors.js";
import { paths } from "#src/paths.js";
import { addDockerFlags, dockerOptionsOf } from "./docker-flags.js";

/** As the original: low enough for VXLAN with encryption on every cloud; and a bridge without fast datapath needs no limit. */
const MTU = 1_376;
const MTU_NO_FASTDP = 65_535;

export interface Launch {
  readonly options: RouterOptions;
  readonly foreground: boolean;
}

/** What IPAM hands out unless told otherwise: as the original, outside of what most networks use. */
export const DEFAULT_RANGE = "10.32.0.0/12";

/** Of the original, for parts that this version does not have: taken without effect where that is harmless. */
const HARMLESS = [
  "--bufsz <mb>",
  "--datapath <name>",
  "--no-bridged-fastdp",
  "--pkt-debug",
  "--profile <path>",
  "--proc-path <path>",
  "--host-root <path>",
];
/** Of the original, for parts that this version does not have: asking for them and not getting them would be a surprise. */
const LATER = ["--token", "--awsvpc", "--plugin-v2"];

const BOOLEANS = [
  "--no-discovery",
  "--resume",
  "--no-restart",
  "--no-fastdp",
  "--no-bridged-fastdp",
  "--foreground",
  "--pkt-debug",
  "--no-dns",
  "--plugin",
  "--proxy",
  "--rewrite-inspect",
  "--no-default-ipalloc",
  "--no-rewrite-hosts",
  "--without-dns",
  "--no-multicast-route",
  "--tls",
  "--tlsverify",
  "--no-detect-tls",
];
/** Those that are on unless told otherwise. */
const ON = ["--plugin", "--proxy"];

/**
 * Reads the arguments of `weave launch`.
 *
 * @throws WEAVE_FLAG_UNKNOWN (exit status 125), WEAVE_FLAG_INVALID
 */
export function parseLaunch(args: readonly string[], env: NodeJS.ProcessEnv): Launch {
  const whole = (text: string): number => {
    if (!/^\d+$/.test(text)) throw new InvalidArgumentError("it must be a whole number.");
    return Number(text);
  };
  const command = new Command("launch")
    .helpOption(false)
    .exitOverride()
    .configureOutput({ writeErr: () => {}, writeOut: () => {} })
    .argument("[peer...]")
    .option("--name <mac>")
    .option("--nickname <nickname>", "", hostname())
    .option("--host <address>", "", "")
    .option("--port <port>", "", whole, numberFrom(env, "WEAVE_PORT", 6783))
    .option("--password <password>")
    .addOption(new Option("--encryption <mode>").choices(["on", "off"]).default(env.WEAVE_ENCRYPTION || "on"))
    .option("--trusted-subnets <cidrs>", "", "")
    .option("--no-discovery")
    .option("--resume")
    .option("--conn-limit <count>", "", whole, 200)
    .option("--no-restart")
    .option("--foreground")
    .option("--http-addr <address>", "", env.WEAVE_HTTP_ADDR || "127.0.0.1:6784")
    .option("--status-addr <address>", "", env.WEAVE_STATUS_ADDR || "127.0.0.1:6782")
    .option("--metrics-addr <address>", "", "")
    .option("--weave-bridge <name>", "", "weave")
    .option("--mtu <bytes>", "", whole, numberFrom(env, "WEAVE_MTU", 0))
    .option("--datapath-threads <count>", "", whole, 0)
    .option("--offloads-off <names>", "", env.WEAVE_OFFLOADS_OFF ?? "")
    .option("--no-fastdp")
    .option("--db-prefix <path>", "", paths(env).dbPrefix)
    .option("--log-level <level>", "", "info")
    .option("--min-protocol-version <version>", "", whole, 1)
    .option("--ipalloc-range <cidr>", "", DEFAULT_RANGE)
    .option("--ipalloc-default-subnet <cidr>", "", "")
    .option("--ipalloc-init <mode>", "", "")
    .option("--no-dns")
    .option("--dns-domain <domain>", "", "weave.local.")
    .option("--dns-listen-address <address>", "", "")
    .option("--dns-ttl <seconds>", "", whole, 1)
    .option("--dns-fallback-timeout <duration>", "", "5s")
    .option("--resolv-conf <path>", "", "/etc/resolv.conf");
  addDockerFlags(command, env);
  for (const flag of HARMLESS) command.addOption(new Option(flag).hideHelp());
  try {
    command.parse(normalized(args), { from: "user" });
  } catch (error) {
    throw explain(error, args);
  }
  const given = command.opts();
  if (given.encryption !== "on" && given.encryption !== "off")
    throw invalidValue("WEAVE_ENCRYPTION", given.encryption, "on or off");
  const noFastdp = given.fastdp === false || Boolean(env.WEAVE_NO_FASTDP);
  const password = (given.password ?? env.WEAVE_PASSWORD) as string | undefined;
  const options: RouterOptions = {
    ...(given.name === undefined ? {} : { name: given.name }),
    nickname: given.nickname,
    host: given.host,
    port: given.port,
    // An empty password is none, as an unset variable is.
    ...(password ? { password } : {}),
    encryption: given.encryption === "on",
    trustedSubnets: String(given.trustedSubnets)
      .split(",")
      .filter((text) => text !== ""),
    discovery: given.discovery,
    resume: given.resume ?? false,
    connectionLimit: given.connLimit,
    httpAddr: given.httpAddr,
    statusAddr: given.statusAddr,
    metricsAddr: given.metricsAddr,
    bridge: given.weaveBridge,
    mtu: given.mtu || (noFastdp ? MTU_NO_FASTDP : MTU),
    datapathThreads: given.datapathThreads,
    offloadsOff: parseOffloads(given.offloadsOff),
    logLevel: levelOf(given.logLevel),
    dbPrefix: given.dbPrefix,
    restart: given.restart,
    dns: given.dns,
    dnsDomain: given.dnsDomain,
    dnsListenAddress: given.dnsListenAddress,
    dnsTtl: given.dnsTtl,
    dnsFallbackTimeout: given.dnsFallbackTimeout,
    resolvConf: given.resolvConf,
    ipallocRange: given.ipallocRange,
    ipallocDefaultSubnet: given.ipallocDefaultSubnet,
    ipallocInit: given.ipallocInit,
    docker: dockerOptionsOf(given, env),
    peers: command.args,
  };
  return { options, foreground: given.foreground ?? false };
}

/** Go's flags, as the original takes them: one dash or two, and `=true` or `=false` after a boolean. */
function normalized(args: readonly string[]): string[] {
  const result: string[] = [];
  for (const [index, arg] of args.entries()) {
    if (arg === "--") return [...result, ...args.slice(index)];
    const long = /^-[a-z][a-z-]+/.test(arg) ? `-${arg}` : arg;
    const [flag, value] = [long.split("=")[0], long.split("=")[1]];
    if (flag === "--iprange") result.push(long.replace("--iprange", "--ipalloc-range"));
    else if (flag === "--connlimit") result.push(long.replace("--connlimit", "--conn-limit"));
    else if (!BOOLEANS.includes(flag) || value === undefined || !["true", "false"].includes(value)) result.push(long);
    else if (value === "true") result.push(flag);
    else if (ON.includes(flag)) result.push(flag.replace("--", "--no-"));
  }
  return result;
}

function explain(error: unknown, args: readonly string[]): unknown {
  if (!(error instanceof CommanderError)) return error;
  if (error.code === "commander.unknownOption") {
    const flag = /'(-[^']+)'/.exec(error.message)?.[1] ?? args.find((arg) => arg.startsWith("-")) ?? "";
    const name = flag.split("=")[0];
    const next = LATER.includes(name)
      ? `${name} belongs to a part of weave that this version does not have yet.`
      : "See 'weave launch --help'.";
    return new WeaveError("WEAVE_FLAG_UNKNOWN", `flag provided but not defined: ${name}`, { cause: error, next });
  }
  return new WeaveError("WEAVE_FLAG_INVALID", error.message.replace(/^error: /, ""), {
    cause: error,
    next: "See 'weave launch --help'.",
  });
}

function numberFrom(env: NodeJS.ProcessEnv, name: string, otherwise: number): number {
  const text = env[name];
  if (text === undefined || text === "") return otherwise;
  if (!/^\d+$/.test(text)) throw invalidValue(name, text, "a whole number");
  return Number(text);
}

function levelOf(text: string): RouterOptions["logLevel"] {
  const level = text === "warning" ? "warn" : text;
  if (level === "debug" || level === "info" || level === "warn" || level === "error") return level;
  throw invalidValue("--log-level", text, "debug, info, warning or error");
}
