import { existsSync, rmdirSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { call } from "#cli/support/client.js";
import { Exit, rejectExtra } from "#cli/support/exit.js";
import { launchOptions } from "#cli/support/launched.js";
import { leaveDocker } from "#cli/support/leave-docker.js";
import { runningProcesses, stopRouter } from "#cli/support/processes.js";
import { readFlags } from "#cli/support/read-flags.js";
import { hostFirewall } from "#src/linux/firewall/host-firewall.js";
import { findBridge } from "#src/linux/links/bridge.js";
import { ENDPOINT_PREFIX } from "#src/linux/links/docker-endpoint.js";
import { HOST_IFNAME_PREFIX } from "#src/linux/links/interface-names.js";
import { deleteLink, listLinks } from "#src/linux/links/links.js";
import {
  controlSocket,
  databaseFile,
  failureFile,
  helperFolder,
  lastLaunchFile,
  launchFile,
  launchingFile,
  paths,
  routerFile,
  supervisorFile,
  tokenFile,
} from "#src/paths.js";
import { requireRoot } from "#src/root.js";

/** Of containers that were attached, and of Docker's endpoints. */
const OURS = [HOST_IFNAME_PREFIX, ENDPOINT_PREFIX];
/** Time for the new ring to spread. */
const SPREAD_MS = 500;

/** `weave reset [--force]`: stops the router and removes everything that weave ever made on this host. */
export async function run(args: readonly string[]): Promise<void> {
  const { values, words } = readFlags("reset", args);
  rejectExtra(words);
  requireRoot();
  const { run, log, dbPrefix: usual } = paths();
  const { bridge = "weave", dbPrefix = usual, docker } = launchOptions();
  const { supervisor, router } = runningProcesses();
  const present = existsSync(databaseFile(dbPrefix));
  if (supervisor === undefined && router === undefined && present && !values.force) {
    throw new Exit(
      1,
      "ERROR: weave is not running; unable to remove from cluster.\nRe-launch weave before reset or use --force to override.",
    );
  }
  if (router !== undefined) {
    await leaveDocker();
    await handOver(run);
  }
  await stopRouter();
  for (const { ifname } of await listLinks())
    if (OURS.some((prefix) => ifname.startsWith(prefix))) await deleteLink(ifname);
  if ((await findBridge(bridge)) !== undefined) await deleteLink(bridge);
  await hostFirewall(Boolean(docker?.api))?.remove();
  const database = databaseFile(dbPrefix);
  const files = [
    database,
    `${database}-lock`,
    log,
    `${log}.1`,
    controlSocket(run),
    tokenFile(run),
    launchFile(run),
    launchingFile(run),
    lastLaunchFile(dbPrefix),
    failureFile(run),
    supervisorFile(run),
    routerFile(run),
  ];
  for (const file of files) rmSync(file, { force: true });
  rmSync(helperFolder(dbPrefix), { recursive: true, force: true });
  for (const folder of new Set(files.map(dirname))) removeIfEmpty(folder);
}

/** Hands the addresses of this peer over to another one, and lets that spread. A peer without others is removed all the same. */
async function handOver(runDir: string): Promise<void> {
  const { status } = await call({ method: "DELETE", path: "/peer", address: controlSocket(runDir) }).catch(() => ({
    status: 0,
  }));
  if (status === 204) await sleep(SPREAD_MS);
}

function removeIfEmpty(folder: string): void {
  try {
    rmdirSync(folder);
  } catch {
    // Not empty, so not ours alone; or not there.
  }
}
