/**
 * Where a host's router keeps its things. Each can be moved by the environment, so that several hosts can live on one
 * machine (in network namespaces, as the tests and the demo do).
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
/** What callers of the control API show to change something over TCP. */
export const tokenFile = (run: string) => `${run}/control.token`;
/** Where the Docker API proxy listens. */
export const proxySocket = (run: string) => `${run}/weave.sock`;
/** What `weave launch` was given: read by every start of the router. */
export const launchFile = (run: string) => `${run}/launch.json`;
/** The `weave launch` that is at work: there is one at a time. */
export const launchingFile = (run: string) => `${run}/launch.pid`;
/** Why the router could not start, or why the last one ended, in words for the user. Gone when one is ready. */
export const failureFile = (run: string) => `${run}/failure`;
export const supervisorFile = (run: string) => `${run}/supervisor.pid`;
export const routerFile = (run: string) => `${run}/router.pid`;
/** Beside the database: what containers wait with (docker/wait). */
export const helperFolder = (dbPrefix: string) => `${dbPrefix.slice(0, dbPrefix.lastIndexOf("/"))}/w`;
/** Beside the database: what the last launch was, for `--resume`. */
export const lastLaunchFile = (dbPrefix: string) => `${dbPrefix}launch.json`;
export const databaseFile = (dbPrefix: string) => `${dbPrefix}data.db`;
