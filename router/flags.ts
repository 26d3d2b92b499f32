import { MAX_PEERS } from "#mesh/peer.js";
import { ADDRESS_FLAGS } from "#router/addresses/flags.js";
import { FRAME_FLAGS } from "#router/frames/flags.js";
import { NAME_FLAGS } from "#router/names/flags.js";
import { PEER_FLAGS } from "#router/peers/flags.js";
import { flag, offSwitch, toggle } from "#src/flag.js";
import { absolutePath, listenAddress } from "#src/flag-shapes.js";
import type { LogLevel } from "#src/log.js";
import { paths } from "#src/paths.js";
import { choice, orEmpty, text, whole } from "#src/shape.js";

const PROCESS = "Process, API and files";
const IGNORED = "Accepted without effect";
/** Maximum characters of the name of an image: one of the longest, with its registry, tag and digest. */
const MAX_IMAGE_CHARS = 512;
/** Maximum characters of an ignored value. */
const MAX_IGNORED_CHARS = 4_096;

/** Whether a text can be the name of an image: [registry[:port]/]path[:tag][@digest], or an id. The engine decides about the rest. */
const isImageName = (name: string): boolean => name.length <= MAX_IMAGE_CHARS && /^[\w][\w.\-/:@]*$/.test(name);

/** Flags of the router process. */
const PROCESS_FLAGS = {
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
  pageAddr: flag({
    flag: "page-addr",
    env: "WEAVE_PAGE_ADDR",
    shape: orEmpty(listenAddress, "none"),
    default: "",
    defaultText: "none",
    placeholder: "address",
    section: PROCESS,
    meaning: "page for browsers that shows the network, read-only; it may be that of --status-addr",
  }),
  metricsPeers: flag({
    flag: "metrics-peers",
    shape: whole(0, MAX_PEERS),
    default: 200,
    placeholder: "number",
    section: PROCESS,
    meaning: "peers with metrics of their own; all others share one series",
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

/** The flags of a router, except those of Docker: one row for each option. */
export const ROUTER_FLAGS = { ...PEER_FLAGS, ...FRAME_FLAGS, ...ADDRESS_FLAGS, ...NAME_FLAGS, ...PROCESS_FLAGS };

/** Flags of `weave launch` that are not options of the router: they change other flags, or `weave launch` itself. */
export const LAUNCH_FLAGS = {
  foreground: toggle("foreground", PROCESS, "log to standard output, for systemd and containers; without a supervisor"),
  json: toggle("json", PROCESS, "print JSON, also for an error"),
  image: flag({
    flag: "image",
    env: "WEAVE_IMAGE",
    shape: orEmpty(text("the name of an image", isImageName), "no container"),
    default: "",
    defaultText: "none",
    placeholder: "image",
    section: PROCESS,
    meaning:
      "run the router in a container of this image, which the Docker engine starts again after a crash and a reboot",
  }),
  supervised: flag<"" | "systemd" | "container">({
    flag: "supervised",
    shape: choice({ systemd: "systemd", container: "container", "": "" }),
    default: "",
    defaultText: "none",
    placeholder: "kind",
    section: PROCESS,
    meaning: "for weave.service and containers: in the foreground, with the options that the last launch has kept",
  }),
};

/** Flags of Weave Net for features that Weave lacks. They are accepted without effect, because this is harmless. */
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

/** Flags of Weave Net for features that Weave lacks. They are rejected, because the user expects an effect. */
export const MISSING_FLAGS: readonly string[] = ["token", "awsvpc"];

function ignored(name: string, placeholder: string) {
  return flag({
    flag: name,
    shape: text("text", (given) => given.length <= MAX_IGNORED_CHARS),
    default: "",
    placeholder,
    section: IGNORED,
    meaning: "",
  });
}
