import { ALL_FLAGS } from "#cli/launch/launch-flags.js";
import { ENVIRONMENT_FILE } from "#cli/supervision/environment-file.js";
import { EXIT_CONFIG } from "#router/exit-status.js";
import { DNS_PORT } from "#router/names/options.js";
import { ERRORS } from "#src/errors.js";
import { type Flag, flagText } from "#src/flag.js";
import {
  controlSocket,
  databaseFile,
  helperFolder,
  keptLaunchFile,
  lastLaunchFile,
  launchFile,
  paths,
  proxySocket,
  tokenFile,
} from "#src/paths.js";

/** A name, and its meaning. */
export type Fact = readonly [name: string, meaning: string];

/** Exit statuses of the command. */
export const EXIT_STATUSES: readonly (readonly [status: number, meaning: string])[] = [
  [0, "The command succeeded."],
  [1, "It failed: standard error has the reason, and the next step where there is one."],
  [2, "'weave launch --image': another container has the name of the router's. 'weave doctor': a check has failed."],
  [ERRORS.WEAVE_RUNNING.exit, "'weave launch': the router runs already, or is being launched."],
  [4, "The router does not have the requested object, or the part of weave that would have it is off."],
  [EXIT_CONFIG, "weave.service, or a container: the router cannot start before its user changes something."],
  [ERRORS.WEAVE_FLAG_UNKNOWN.exit, "'weave launch' has no such flag."],
  [130, "Interrupted while it waited. The router continues to start."],
  [143, "Ended by SIGTERM while it waited. The router continues to start."],
];

/** Files and folders that an operator may look for, where no variable moves them. */
export function files(): Fact[] {
  const { run, dbPrefix, log } = paths({});
  const state = dbPrefix.slice(0, dbPrefix.lastIndexOf("/"));
  return [
    [ENVIRONMENT_FILE, "Variables of weave.service."],
    [run, "Sockets and process ids; gone after a reboot."],
    [controlSocket(run), "The control API, for root: commands use it."],
    [tokenFile(run), "The token that changes over TCP need."],
    [proxySocket(run), "The proxy of Docker's API."],
    [launchFile(run), "Options of this launch, the password among them."],
    [state, "What survives a reboot."],
    [databaseFile(dbPrefix), "The peer's name and key, targets, addresses, names."],
    [lastLaunchFile(dbPrefix), "Options of the last launch, for 'weave launch --resume'."],
    [keptLaunchFile({}), "Options of the last launch, the password among them, for weave.service or a container."],
    [helperFolder(dbPrefix), "The program by which containers wait for their interface."],
    [log, "The router's log; the one before it ends in .1."],
  ];
}

/** Variables that belong to no flag. */
export const VARIABLES: readonly Fact[] = [
  ["WEAVE_RUN_DIR", `The folder of sockets and process ids, instead of ${paths({}).run}.`],
  ["WEAVE_STATE_DIR", "The folder of the database, instead of /var/lib/weave."],
  ["WEAVE_LOG_DIR", "The folder of the log, instead of /var/log/weave."],
  ["WEAVE_HTTP_ADDR", "Where commands reach the router, if it is not on this host's socket."],
  ["WEAVE_ARGS", `In ${ENVIRONMENT_FILE}: flags and peers of the router, where no launch gave them.`],
  ["WEAVE_CONTAINER_NAME", "The name of the router's container, instead of weave."],
  ["WEAVE_DOCKER_ARGS", "Further flags of docker run for the router's container."],
  ["DOCKER_HOST", "The Docker engine, as for docker(1). 'weave env' prints a value for it."],
  ["NO_COLOR", "Set to anything: no colours on a terminal."],
  ["PROXY_HOST", "The host in the address that 'weave env' prints, for a proxy that listens at all addresses."],
];

const defaultOf = (row: Flag<unknown>): string => String(row.default);
const portOf = (row: Flag<unknown>): string => /\d+$/.exec(defaultOf(row))![0];

/** Ports, by their defaults, and who must reach them. */
export function ports(): Fact[] {
  const { port, httpAddr, statusAddr, metricsAddr, pageAddr, dnsListenAddress } = ALL_FLAGS;
  const by = (row: Flag<unknown>) => `(${flagText(row)})`;
  return [
    [`${defaultOf(port)}/tcp`, `The mesh: all other peers ${by(port)}.`],
    [
      `${defaultOf(port)}/udp`,
      `Frames: all other peers ${by(port)}. Where it is closed, frames use the mesh's connections.`,
    ],
    [`${portOf(httpAddr)}/tcp`, `The control API, on ${defaultOf(httpAddr)} ${by(httpAddr)}.`],
    [
      `${portOf(statusAddr)}/tcp`,
      `Status and metrics, on ${defaultOf(statusAddr)} ${by(statusAddr)}; metrics alone: ${flagText(metricsAddr)}; the page for browsers, off by default: ${flagText(pageAddr)}.`,
    ],
    [`${DNS_PORT}/tcp and ${DNS_PORT}/udp`, `weaveDNS: containers of this host ${by(dnsListenAddress)}.`],
    [
      "12375/tcp",
      `The proxy of Docker's API, only if the engine listens there, or on demand ${by(ALL_FLAGS["docker.listen"])}.`,
    ],
  ];
}
