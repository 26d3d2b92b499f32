/**
 * Files and folders of a router. An environment variable replaces each, so that several routers can run on one machine, each
 * in a network namespace.
 */
export interface Paths {
  /** Folder of files that do not survive a reboot: sockets, launch options, process ids. */
  readonly run: string;
  /** Path prefix of the database file and of the files beside it. */
  readonly dbPrefix: string;
  /** Path of the log file. */
  readonly log: string;
}

/** Longest path of a Unix socket in bytes: `sun_path` without its final zero (unix(7)). */
export const MAX_SOCKET_PATH_BYTES = 107;

/** Default folder of the files that survive a reboot. */
const STATE_FOLDER = "/var/lib/weave";

/** Returns the paths that the environment selects. */
export function paths(env: NodeJS.ProcessEnv = process.env): Paths {
  return {
    run: env.WEAVE_RUN_DIR || "/run/weave",
    dbPrefix: `${env.WEAVE_STATE_DIR || STATE_FOLDER}/weave`,
    log: `${env.WEAVE_LOG_DIR || "/var/log/weave"}/router.log`,
  };
}

/** The socket of the control API. */
export const controlSocket = (run: string) => `${run}/control.sock`;
/** The token that clients of the control API must send with changes over TCP. */
export const tokenFile = (run: string) => `${run}/control.token`;
/** The socket of the Docker API proxy. */
export const proxySocket = (run: string) => `${run}/weave.sock`;
/** The options of `weave launch`; each start of the router reads them. */
export const launchFile = (run: string) => `${run}/launch.json`;
/** The process id of a running `weave launch`; only one runs at a time. */
export const launchingFile = (run: string) => `${run}/launch.pid`;
/** The reason why the last router did not start, or ended, as text for the user. A ready router removes the file. */
export const failureFile = (run: string) => `${run}/failure`;
/** The name of what keeps the router running: `process`, `systemd` or `container` (cli/support/supervised.ts). */
export const supervisionFile = (run: string) => `${run}/supervision`;
/** The folder of releases that wait for the router: the CNI plugin fills it while none answers (cli/cni/plugin/queue.c). */
export const cniReleaseFolder = (run: string) => `${run}/cni-releases`;
export const supervisorFile = (run: string) => `${run}/supervisor.pid`;
export const routerFile = (run: string) => `${run}/router.pid`;
/** The folder beside the database with the program that containers wait by (docker/wait). */
export const helperFolder = (dbPrefix: string) => `${dbPrefix.slice(0, dbPrefix.lastIndexOf("/"))}/w`;
/** The file beside the database with the options of the last launch, for `--resume`. */
export const lastLaunchFile = (dbPrefix: string) => `${dbPrefix}launch.json`;
/**
 * The options of the last launch for a router that systemd or an engine starts, password included: beside the default database,
 * because who starts the router does not know `--db-prefix`.
 */
export const keptLaunchFile = (env: NodeJS.ProcessEnv = process.env) =>
  `${env.WEAVE_STATE_DIR || STATE_FOLDER}/launch-options.json`;
/** Exists from a launch until its router is ready: until then its peers are the targets, later the stored ones are. */
export const newLaunchFile = (env: NodeJS.ProcessEnv = process.env) => `${keptLaunchFile(env)}.new`;
/** The start of the paths of all files that `weave restore` makes beside a database. @param database path of the one in use */
export const restorePrefix = (database: string) => `${database}.restore-`;
export const databaseFile = (dbPrefix: string) => `${dbPrefix}data.db`;
/** The events of this host and of others, one in each line. */
export const eventFile = (dbPrefix: string) => `${dbPrefix}events.jsonl`;
