import { FLAGS, off, on, value } from "#cli/support/flag-rows.js";
import { CAPTURE_RANGES } from "#router/capture/capture-call.js";
import { EVENT_KINDS, type EventKind, SEVERITIES, type Severity } from "#router/event-log/event-kinds.js";
import { flag as row } from "#src/flag.js";
import type { LogLevel } from "#src/log.js";
import { choice, repeated, type Shape, seconds, text, trueFalse, whole } from "#src/shape.js";

/* Flags that several commands have, and those of the commands with many. */

/** Longest `--timeout`, in seconds. */
const DAY_S = 86_400;

/** Machine-readable output: cli/json/shapes.ts has the shapes. */
export const json = on("json", "print JSON, also for an error");
export const timeout = value(
  "timeout",
  "seconds",
  whole(0, DAY_S, "seconds"),
  "how long to wait for an address; without it there is no limit",
);
export const logLevel = value<LogLevel>(
  "log-level",
  "level",
  choice({ debug: "debug", info: "info", warn: "warn", warning: "warn", error: "error" }),
  "debug, info, warning or error; without it the level of the last launch or reload",
);
/** A time with its unit. */
const AGE = /^\d{1,6}[smhd]$/;
const duration = text("a time such as 90s, 15m, 12h or 7d", (time) => AGE.test(time));
const absolutePath = text("an absolute path", (path) => path.startsWith("/"));
export const dbPrefix = value(
  "db-prefix",
  "path",
  absolutePath,
  "the --db-prefix of the launch, where it is not that of the last one",
);
export const hostName = (meaning: string) =>
  value(
    "h",
    "name",
    text("a host name", (name) => name !== ""),
    meaning,
  );

/** Flags of `weave attach`. */
export const ATTACH_FLAGS = {
  withoutDns: on("without-dns", "do not register the container's own name"),
  rewriteHosts: on("rewrite-hosts", "write the container's /etc/hosts"),
  addHosts: row<readonly string[]>({
    flag: "add-host",
    placeholder: "host:ip_address",
    shape: repeated(text("host:ip_address", (entry) => /^[^:\s]+:[\d.:a-fA-F]+$/.test(entry))),
    default: [],
    repeatable: true,
    section: FLAGS,
    meaning: "one more entry for /etc/hosts; may be repeated",
  }),
  name: value(
    "name",
    "name",
    text("a host name", (name) => name !== ""),
    "a name for the addresses in weaveDNS",
  ),
  multicastRoute: off("no-multicast-route", "no route for multicast"),
  timeout,
} as const;

const limit = (name: keyof typeof CAPTURE_RANGES, unit: string, meaning: string, flag: string = name) =>
  value(flag, unit, whole(CAPTURE_RANGES[name].min, CAPTURE_RANGES[name].max, unit), meaning);

/** Flags of `weave capture`. */
export const CAPTURE_FLAGS = {
  file: value(
    "w",
    "file",
    text("a file", (file) => file !== ""),
    "write pcapng to a new file; - is standard output, as without it on a pipe",
  ),
  count: limit("count", "frames", "end after so many frames", "c"),
  seconds: limit("seconds", "seconds", `end after this time; by default ${CAPTURE_RANGES.seconds.usual}`),
  size: limit("size", "bytes", `end before the file is larger; by default ${CAPTURE_RANGES.size.usual}`),
  snaplen: limit("snaplen", "bytes", "keep only the first bytes of each frame; by default all"),
} as const;

/** Each word as its own value, for a choice. */
const words = <T extends string>(list: readonly T[]) =>
  Object.fromEntries(list.map((word) => [word, word])) as Readonly<Record<string, T>>;

/** Flags of `weave events`. */
export const EVENT_FLAGS = {
  follow: row<boolean>({
    flag: "f",
    aliases: ["follow"],
    shape: trueFalse,
    default: false,
    given: true,
    section: FLAGS,
    meaning: "go on with new events until Ctrl-C; with --json one line each",
  }),
  since: value(
    "since",
    "time",
    text(
      "an age such as 90s, 15m, 12h or 7d, or a time such as 2026-01-31T18:00",
      (time) => AGE.test(time) || (/^\d{4}-/.test(time) && !Number.isNaN(Date.parse(time))),
    ),
    "only events since then",
  ),
  limit: value("limit", "number", whole(1, 3_000), "the last events, at most so many; by default 100"),
  peer: value(
    "peer",
    "peer_id",
    text("a peer", (peer) => peer !== ""),
    "only what this peer reports, or what concerns it: its name or nickname",
  ),
  severity: value<Severity>("severity", "level", choice(words(SEVERITIES)), "only events of this level or above"),
  kind: value<EventKind>(
    "kind",
    "kind",
    choice(words(Object.keys(EVENT_KINDS) as EventKind[])),
    "only events of this kind",
  ),
} as const;

/** Flags of `weave rekey`. */
export const REKEY_FLAGS = {
  passwordFile: value(
    "password-file",
    "file",
    text("a file", (file) => file !== ""),
    "the file whose first line is the new password; otherwise it is read from standard input",
  ),
  exclude: row<readonly string[]>({
    flag: "exclude",
    placeholder: "peer_id",
    shape: repeated(text("a peer", (peer) => peer !== "")),
    default: [],
    repeatable: true,
    section: FLAGS,
    meaning: "a peer that does not get the password, and is cut off on all hosts; may be repeated",
  }),
  deadline: value(
    "deadline",
    "time",
    duration,
    "until when the earlier password is accepted while a peer that was reachable lacks the new one; by default 15m",
  ),
  acceptOld: value(
    "accept-old",
    "time",
    duration,
    "how long known peers that are away now can connect with the earlier password; by default they cannot",
  ),
  open: on("open", "no password from now on: any host can become a peer"),
} as const;

/** Flags of `weave ping`. */
export const PING_FLAGS = {
  count: value("c", "count", whole(1, 100_000), "number of probes; by default 5"),
  interval: value("i", "seconds", seconds(0.05, 3_600), "time between two probes; by default 1"),
  timeout: value("W", "seconds", seconds(0.01, 60), "how long each answer is awaited; by default 1"),
} as const;

/** Flags of `weave setup-cni`. */
export const SETUP_CNI_FLAGS = {
  pluginDir: row<string>({
    flag: "plugin-dir",
    placeholder: "folder",
    env: "WEAVE_CNI_PLUGIN_DIR",
    shape: absolutePath,
    default: "/opt/cni/bin",
    section: FLAGS,
    meaning: "the folder where runtimes look for plugins",
  }),
  confDir: row<string>({
    flag: "conf-dir",
    placeholder: "folder",
    env: "WEAVE_CNI_CONF_DIR",
    shape: absolutePath,
    default: "/etc/cni/net.d",
    section: FLAGS,
    meaning: "the folder of network configurations; if it is missing, none is written",
  }),
  hairpin: row<boolean | undefined>({
    flag: "hairpin",
    placeholder: "true|false",
    env: "HAIRPIN_MODE",
    shape: trueFalse as Shape<boolean | undefined>,
    default: undefined,
    defaultText: "as in the present file, else true",
    section: FLAGS,
    meaning: "whether a container reaches itself by its published ports",
  }),
  remove: on("remove", "remove what this command installed, but for a configuration that you changed"),
} as const;
