import { hostname } from "node:os";
import { parseName } from "#dns/name.js";
import { parseSubnet } from "#ipam/ring/subnet.js";
import { MAX_NICKNAME, nicknameShape } from "#mesh/peer.js";
import { parseInit } from "#router/addresses/options.js";
import { OFFLOADS, type OffloadName } from "#router/datapath/protocol.js";
import { MAX_LANES } from "#router/datapath/record.js";
import { MAX_FALLBACK_MS, parseDuration, parseListen } from "#router/names/options.js";
import { flag, offSwitch, toggle } from "#src/flag.js";
import { absolutePath, cidr, filePath, interfaceName, ipv4Address, listenAddress } from "#src/flag-shapes.js";
import type { LogLevel } from "#src/log.js";
import { parseMac } from "#src/mac.js";
import { paths } from "#src/paths.js";
import { accepts, choice, commaList, onOff, optional, orEmpty, text, whole } from "#src/shape.js";

const PEERS = "Peers and encryption";
const FRAMES = "Frame path";
const ADDRESSES = "Addresses (IPAM)";
const NAMES = "Names (weaveDNS)";
const PROCESS = "Process, API and files";
const IGNORED = "Accepted without effect";

/** As Weave Net: low enough for VXLAN with encryption on every cloud. */
const MTU = 1_376;
/** As Weave Net without its fast datapath: the bridge needs no limit. */
const MTU_NO_FASTDP = 65_535;
/** What IPAM hands out unless told otherwise: as Weave Net, outside of what most networks use. */
export const DEFAULT_RANGE = "10.32.0.0/12";
export const MAX_PASSWORD = 1_024;
/** Names of links are made of the bridge's, and Linux has 15 characters for them. */
const MAX_BRIDGE = 11;
const WEEK_S = 7 * 86_400;

/** The MTU that a router gets. @param given 0: none was asked for */
export const mtuOf = (given: number, noFastdp: boolean): number => given || (noFastdp ? MTU_NO_FASTDP : MTU);

const offloads = Object.fromEntries(OFFLOADS.map((name) => [name, name])) as Record<OffloadName, OffloadName>;
const network = text("an IPv4 network of at least 4 addresses, such as 10.32.0.0/12", parseSubnet);

/** What a router is started with, but for Docker and the peers: one row an option. */
export const ROUTER_FLAGS = {
  name: flag({
    flag: "name",
    shape: optional(text("six hexadecimal octets such as 8a:3e:00:00:00:01, or short ::1", accepts(parseMac))),
    default: undefined,
    defaultText: "the bridge's MAC, the stored name, or one made of the machine's id",
    placeholder: "mac",
    section: PEERS,
    meaning: "the peer's name; clones of one machine need it",
  }),
  nickname: flag({
    flag: "nickname",
    shape: text(`1 to ${MAX_NICKNAME} visible characters`, (given) => nicknameShape.safeParse(given).success),
    default: () => hostname(),
    defaultText: "the host's name",
    placeholder: "nickname",
    section: PEERS,
    meaning: "the name that people read",
  }),
  host: flag({
    flag: "host",
    shape: orEmpty(ipv4Address, "all"),
    default: "",
    defaultText: "all addresses",
    placeholder: "address",
    section: PEERS,
    meaning: "listen at this address of the host, and connect from it",
  }),
  port: flag({
    flag: "port",
    env: "WEAVE_PORT",
    shape: whole(1, 65_535),
    default: 6_783,
    placeholder: "port",
    section: PEERS,
    meaning: "TCP for the mesh, UDP for frames",
  }),
  password: flag({
    flag: "password",
    env: "WEAVE_PASSWORD",
    shape: optional(
      text(`1 to ${MAX_PASSWORD} characters`, (given) => given.length >= 1 && given.length <= MAX_PASSWORD),
    ),
    default: undefined,
    defaultText: "none",
    placeholder: "password",
    secret: true,
    section: PEERS,
    meaning: "only peers with the same password can connect",
  }),
  passwordFile: flag({
    flag: "password-file",
    env: "WEAVE_PASSWORD_FILE",
    shape: optional(filePath),
    default: undefined,
    defaultText: "none",
    placeholder: "file",
    section: PEERS,
    meaning:
      "a file whose first line is the password, which keeps it out of the list of processes; --resume reads it again",
  }),
  encryption: flag({
    flag: "encryption",
    env: "WEAVE_ENCRYPTION",
    shape: onOff,
    default: true,
    defaultText: "on",
    placeholder: "on|off",
    section: PEERS,
    meaning: "off: frames in clear to peers that are launched with off too; not with a password",
  }),
  trustedSubnets: flag({
    flag: "trusted-subnets",
    shape: commaList<string>("IPv4 networks such as 10.0.0.0/8, with commas between", cidr),
    default: [],
    defaultText: "none",
    placeholder: "cidr,...",
    section: PEERS,
    meaning: "frames in clear to peers in these networks, if both ends trust each other",
  }),
  discovery: offSwitch("no-discovery", PEERS, "connect only to the named peers"),
  connectionLimit: flag({
    flag: "conn-limit",
    aliases: ["connlimit"],
    shape: whole(0, 4_096),
    default: 200,
    placeholder: "count",
    section: PEERS,
    meaning: "maximum number of connections; 0: no limit",
  }),
  resume: toggle("resume", PEERS, "use the targets of the last run instead of named peers"),
  mtu: flag({
    flag: "mtu",
    env: "WEAVE_MTU",
    shape: whole(576, 65_535, "bytes", [0, "the default"]),
    default: 0,
    defaultText: `${MTU}, or ${MTU_NO_FASTDP} with --no-fastdp`,
    placeholder: "bytes",
    section: FRAMES,
    meaning: "MTU of the bridge and of containers",
  }),
  datapathThreads: flag({
    flag: "datapath-threads",
    shape: whole(0, MAX_LANES),
    default: 0,
    placeholder: "count",
    section: FRAMES,
    meaning: "threads of the frame path; 0: 1 below four cores, then half of the cores, 4 at most",
  }),
  offloadsOff: flag({
    flag: "offloads-off",
    env: "WEAVE_OFFLOADS_OFF",
    shape: commaList(`names out of ${OFFLOADS.join(", ")}, with commas between`, choice(offloads)),
    default: [],
    defaultText: "none",
    placeholder: "name,...",
    section: FRAMES,
    meaning: "offloads that are not used although the kernel has them",
  }),
  bridge: flag({
    flag: "weave-bridge",
    shape: interfaceName(MAX_BRIDGE),
    default: "weave",
    placeholder: "name",
    section: FRAMES,
    meaning: "the bridge that containers are attached to",
  }),
  ipallocRange: flag({
    flag: "ipalloc-range",
    aliases: ["iprange"],
    shape: orEmpty(network, "no IPAM"),
    default: DEFAULT_RANGE,
    placeholder: "cidr",
    section: ADDRESSES,
    meaning: "the range that IPAM allocates from, the same on all hosts",
  }),
  ipallocDefaultSubnet: flag({
    flag: "ipalloc-default-subnet",
    shape: orEmpty(network, "the whole range"),
    default: "",
    defaultText: "the whole range",
    placeholder: "cidr",
    section: ADDRESSES,
    meaning: "the subnet of addresses when a command names none",
  }),
  ipallocInit: flag({
    flag: "ipalloc-init",
    shape: text("consensus[=<count>] with a count from 1 to 9999, seed=<peer_name>,..., or observer", parseInit),
    default: "",
    defaultText: "consensus",
    placeholder: "mode",
    section: ADDRESSES,
    meaning: "how the first peers divide the range",
  }),
  dns: offSwitch("no-dns", NAMES, "no weaveDNS"),
  dnsDomain: flag({
    flag: "dns-domain",
    shape: text(
      "a domain: labels of 1 to 63 ASCII characters, joined by dots, 253 characters in all",
      accepts(parseName),
    ),
    default: "weave.local.",
    placeholder: "fqdn",
    section: NAMES,
    meaning: "the domain that weaveDNS answers for",
  }),
  dnsListenAddress: flag({
    flag: "dns-listen-address",
    shape: orEmpty(
      text("[ip_address][:port] with a port from 1 to 65535, such as 172.17.0.1:53", parseListen),
      "the default",
    ),
    default: "",
    defaultText: "port 53 of Docker's bridge, else of weave's",
    placeholder: "ip_address:port",
    section: NAMES,
    meaning: "where weaveDNS listens",
  }),
  dnsTtl: flag({
    flag: "dns-ttl",
    shape: whole(0, WEEK_S, "seconds"),
    default: 1,
    placeholder: "seconds",
    section: NAMES,
    meaning: "how long resolvers may cache answers",
  }),
  dnsFallbackTimeout: flag({
    flag: "dns-fallback-timeout",
    shape: text(`a duration such as 5s or 500ms, from 1ms to ${MAX_FALLBACK_MS / 1_000}s`, accepts(parseDuration)),
    default: "5s",
    placeholder: "duration",
    section: NAMES,
    meaning: "time limit for the answer of each upstream name server",
  }),
  resolvConf: flag({
    flag: "resolv-conf",
    shape: filePath,
    default: "/etc/resolv.conf",
    placeholder: "path",
    section: NAMES,
    meaning: "a file that lists the name servers for all other names",
  }),
  restart: offSwitch("no-restart", PROCESS, "do not restart the router after a crash"),
  httpAddr: flag({
    flag: "http-addr",
    env: "WEAVE_HTTP_ADDR",
    shape: orEmpty(listenAddress, "none"),
    default: "127.0.0.1:6784",
    placeholder: "address",
    section: PROCESS,
    meaning: "control API",
  }),
  insecureHttp: toggle(
    "insecure-http",
    PROCESS,
    "any client that reaches the control API by TCP may change everything, as in Weave Net; status reports it",
  ),
  statusAddr: flag({
    flag: "status-addr",
    env: "WEAVE_STATUS_ADDR",
    shape: orEmpty(listenAddress, "none"),
    default: "127.0.0.1:6782",
    placeholder: "address",
    section: PROCESS,
    meaning: "status and metrics, read-only",
  }),
  metricsAddr: flag({
    flag: "metrics-addr",
    shape: orEmpty(listenAddress, "none"),
    default: "",
    defaultText: "none",
    placeholder: "address",
    section: PROCESS,
    meaning: "metrics alone",
  }),
  dbPrefix: flag({
    flag: "db-prefix",
    shape: absolutePath,
    default: (env) => paths(env).dbPrefix,
    defaultText: "/var/lib/weave/weave",
    defaultFrom: "WEAVE_STATE_DIR",
    placeholder: "path",
    section: PROCESS,
    meaning: "the database is this path followed by data.db",
  }),
  logLevel: flag<LogLevel>({
    flag: "log-level",
    shape: choice({ debug: "debug", info: "info", warn: "warn", warning: "warn", error: "error" }),
    default: "info",
    placeholder: "level",
    section: PROCESS,
    meaning: "how much is logged: debug, info, warning or error",
  }),
};

/** Flags that decide about others or about `weave launch` itself, and are no option of the router. */
export const LAUNCH_FLAGS = {
  noFastdp: {
    ...toggle("no-fastdp", FRAMES, "like Weave Net without its fast datapath: another default of --mtu"),
    env: "WEAVE_NO_FASTDP",
  },
  foreground: toggle("foreground", PROCESS, "log to standard output, for systemd and containers; without a supervisor"),
};

/** Of Weave Net, for parts that this version does not have: accepted without effect, as they are harmless. */
export const IGNORED_FLAGS = {
  minProtocolVersion: flag({
    flag: "min-protocol-version",
    shape: whole(1, 2),
    default: 1,
    placeholder: "version",
    section: IGNORED,
    meaning: "",
  }),
  bufsz: ignored("bufsz", "mb"),
  datapath: ignored("datapath", "name"),
  noBridgedFastdp: toggle("no-bridged-fastdp", IGNORED, ""),
  pktDebug: toggle("pkt-debug", IGNORED, ""),
  profile: ignored("profile", "path"),
  procPath: ignored("proc-path", "path"),
  hostRoot: ignored("host-root", "path"),
};

/** Weave Net's, for parts that this version does not have: to ask for them and not to get them would be a surprise. */
export const MISSING_FLAGS: readonly string[] = ["token", "awsvpc", "plugin-v2"];

function ignored(name: string, placeholder: string) {
  return flag({
    flag: name,
    shape: text("text", (given) => given.length <= 4_096),
    default: "",
    placeholder,
    section: IGNORED,
    meaning: "",
  });
}
