import { existsSync, readdirSync, rmdirSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { removeNetworkFile } from "#cli/cni/network-file.js";
import { removeCniPlugin } from "#cli/cni/plugin-files.js";
import { supervisionHere } from "#cli/supervision/here.js";
import { call } from "#cli/support/client.js";
import { COMMANDS } from "#cli/support/command-table.js";
import { Exit, rejectExtra } from "#cli/support/exit.js";
import { launchOptions } from "#cli/support/launched.js";
import { leaveDocker } from "#cli/support/leave-docker.js";
import { removeManagerFiles } from "#cli/support/network-managers.js";
import { runningProcesses } from "#cli/support/processes.js";
import { readFlags } from "#cli/support/read-flags.js";
import { DOCKER_FLAGS } from "#docker/flags.js";
import { removeDevices } from "#router/carriers/fastdp/devices.js";
import type { LaunchOptions } from "#router/options.js";
import { errorText } from "#src/errors.js";
import { defaultValue } from "#src/flag.js";
import { removeAbandonedSocket } from "#src/http/listen.js";
import { hostFirewall } from "#src/linux/firewall/host-firewall.js";
import { findBridge } from "#src/linux/links/bridge.js";
import { ENDPOINT_PREFIX } from "#src/linux/links/docker-endpoint.js";
import { HOST_IFNAME_PREFIX } from "#src/linux/links/interface-names.js";
import { deleteLink, listLinks } from "#src/linux/links/links.js";
import { removeLoopbackAddresses } from "#src/linux/links/loopback.js";
import { removeTunnelNamespace } from "#src/linux/wireguard/tunnel-namespace.js";
import { lockFileOf } from "#src/lmdb-file.js";
import {
  cniReleaseFolder,
  controlSocket,
  databaseFile,
  eventFile,
  failureFile,
  helperFolder,
  lastLaunchFile,
  launchFile,
  launchingFile,
  paths,
  proxySocket,
  restorePrefix,
  routerFile,
  supervisionFile,
  supervisorFile,
  tokenFile,
} from "#src/paths.js";
import { requireRoot } from "#src/root.js";

/** Prefixes of the host's ends of attached containers and of Docker's endpoints. */
const INTERFACE_PREFIXES = [HOST_IFNAME_PREFIX, ENDPOINT_PREFIX];
/** Time for which the router runs on after its addresses are transferred, so that the new ring reaches other peers. */
const SPREAD_MS = 500;
/** Time for which the router runs on after it has announced that its identity ends. */
const RETIRE_MS = 200;

/** `weave reset [--force]`: stops the router and removes everything that weave created on this host. */
export async function run(args: readonly string[]): Promise<void> {
  const { values, words } = readFlags("reset", args);
  rejectExtra(words);
  requireRoot();
  const { run: runDir, log, dbPrefix: defaultPrefix } = paths();
  const supervision = await supervisionHere();
  const launched = launchOptions();
  const { bridge = "weave", docker } = launched;
  const dbPrefix = launched.dbPrefix ?? (await supervision.databasePrefix?.()) ?? defaultPrefix;
  const { router } = runningProcesses();
  if (!(await supervision.isOn()) && existsSync(databaseFile(dbPrefix)) && !values.force) {
    throw new Exit(
      1,
      "ERROR: weave is not running; unable to remove from cluster.\nRe-launch weave before reset or use --force to override.",
    );
  }
  if (router !== undefined) {
    await leaveDocker();
    await handOver(runDir);
    await retire(runDir);
  }
  await supervision.stop();
  await supervision.remove();
  await removeManagerFiles();
  removeCni();
  for (const { ifname } of await listLinks())
    if (INTERFACE_PREFIXES.some((prefix) => ifname.startsWith(prefix))) await deleteLink(ifname);
  const left = await removeKernelPath(runDir);
  if ((await findBridge(bridge)) !== undefined) await deleteLink(bridge);
  await removeLoopbackAddresses();
  // After a boot the options are lost, and with them whether there were rules beside Docker's.
  await hostFirewall(docker === undefined || docker.api !== "")?.remove();
  const database = databaseFile(dbPrefix);
  const files = [
    database,
    lockFileOf(database),
    eventFile(dbPrefix),
    `${eventFile(dbPrefix)}.new`,
    ...filesWith(restorePrefix(database)),
    log,
    `${log}.1`,
    controlSocket(runDir),
    tokenFile(runDir),
    // A router that was killed leaves it.
    proxySocket(runDir),
    launchFile(runDir),
    launchingFile(runDir),
    lastLaunchFile(dbPrefix),
    failureFile(runDir),
    supervisionFile(runDir),
    supervisorFile(runDir),
    routerFile(runDir),
  ];
  for (const file of files) rmSync(file, { force: true });
  for (const path of socketPaths(launched)) await removeAbandonedSocket(path);
  for (const folder of [helperFolder(dbPrefix), cniReleaseFolder(runDir)])
    rmSync(folder, { recursive: true, force: true });
  for (const folder of new Set(files.map(dirname))) removeIfEmpty(folder);
  if (left.length > 0)
    throw new Exit(
      1,
      `ERROR: weave is removed, except for a part of the kernel's path: ${left.join("; ")}.\nRun 'weave reset --force' again; a reboot of the host removes it in any case.`,
    );
}

/** Removes the devices of the kernel's path. @returns why something is left: the rest of weave is to be removed all the same */
async function removeKernelPath(runDir: string): Promise<readonly string[]> {
  const left: string[] = [];
  for (const remove of [removeDevices, removeTunnelNamespace])
    await remove(runDir).catch((error) => left.push(errorText(error)));
  return left;
}

/** Unix sockets elsewhere at which a router with these options listens. A killed one leaves them, and Docker waits some 15 s for each of the plugin's. */
function socketPaths({ docker, ...launched }: Partial<LaunchOptions>): string[] {
  const { httpAddr = "", statusAddr = "", metricsAddr = "", pageAddr = "" } = launched;
  const plugin = (["pluginSocket", "meshSocket"] as const).map(
    (key) => docker?.[key] ?? defaultValue(DOCKER_FLAGS[key], process.env),
  );
  const listeners = [httpAddr, statusAddr, metricsAddr, pageAddr, ...(docker?.listen ?? [])];
  return [...plugin, ...listeners.map((address) => address.replace(/^unix:\/\//, ""))].filter((path) =>
    path.startsWith("/"),
  );
}

/** Removes what `weave setup-cni` installed in its usual folders. */
function removeCni(): void {
  const { confDir, pluginDir } = COMMANDS["setup-cni"].flags;
  removeNetworkFile(defaultValue(confDir, process.env));
  removeCniPlugin(defaultValue(pluginDir, process.env));
}

/** Transfers the addresses of this peer to another one, and waits until the new ring has spread. A failure is ignored: there may be no other peer. */
async function handOver(runDir: string): Promise<void> {
  const { status } = await call({ method: "DELETE", path: "/peer", address: controlSocket(runDir) }).catch(() => ({
    status: 0,
  }));
  if (status === 204) await sleep(SPREAD_MS);
}

/** Ends this peer's identity at all peers, so that the next one with its name is accepted. A failure is ignored: an earlier router has no such call. */
async function retire(runDir: string): Promise<void> {
  const call_ = { method: "POST", path: "/identity/retire", address: controlSocket(runDir) };
  const { status } = await call(call_).catch(() => ({ status: 0 }));
  if (status === 204) await sleep(RETIRE_MS);
}

/** The files whose paths begin so. */
function filesWith(prefix: string): string[] {
  const folder = dirname(prefix);
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .map((name) => `${folder}/${name}`)
    .filter((path) => path.startsWith(prefix));
}

function removeIfEmpty(folder: string): void {
  try {
    rmdirSync(folder);
  } catch {
    // The folder contains files of others, or does not exist.
  }
}
