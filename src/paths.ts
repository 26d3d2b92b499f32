/**
 * Files and folders of a router. An environment variable moves each, so that several hosts fit on one machine (in network
 * namespaces, as in the tests and the demo).
 */
export interface Paths {
  /** Gone at reboot: sockets, the launch options, process ids. */
  readonly run: string;
  /** Prefix of the database's file name. */
  readonly dbPrefix: string;
  readonly log: string;
}

export function paths(env: NodeJS.ProcessEnv = process.env): Paths {
  return {
    run: env.WEAVE_RUN_DIR || "/run/weave",
    dbPrefix: `${env.WEAVE_STATE_DIR || "/var/lib/weave"}/weave`,
    log: `${env.WEAVE_LOG_DIR || "/var/log/weave"}/router.log`,
  };
}

export const controlSocket = (run: string) => `${run}/control.sock`;
/** The token that a client of the control API needs to change something over TCP. */
export const tokenFile = (run: string) => `${run}/control.token`;
/** The socket of the Docker API proxy. */
export const proxySocket = (run: string) => `${run}/weave.sock`;
/** The options of `weave launch`: read by each start of the router. */
export const launchFile = (run: string) => `${run}/launch.json`;
/** The process of a `weave launch` in progress: there is one at a time. */
export const launchingFile = (run: string) => `${run}/launch.pid`;
/** Why the router could not start, or why the last one ended, as text for the user. Removed when a router is ready. */
export const failureFile = (run: string) => `${run}/failure`;
export const supervisorFile = (run: string) => `${run}/supervisor.pid`;
export const routerFile = (run: string) => `${run}/router.pid`;
/** Beside the database: the program by which containers wait (docker/wait). */
export const helperFolder = (dbPrefix: string) => `${dbPrefix.slice(0, dbPrefix.lastIndexOf("/"))}/w`;
/** Beside the database: the options of the last launch, for `--resume`. */
export const lastLaunchFile = (dbPrefix: string) => `${dbPrefix}launch.json`;
export const databaseFile = (dbPrefix: string) => `${dbPrefix}data.db`;
