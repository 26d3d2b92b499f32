import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { keptEvents } from "#cli/backup/kept-events.js";
import { documentText } from "#cli/json/document.js";
import { ENVIRONMENT_FILE } from "#cli/supervision/environment-file.js";
import { call, REPORT_MS } from "#cli/support/client.js";
import { containerName } from "#cli/support/environment.js";
import { knownEvents } from "#cli/support/event-following.js";
import { FULL_REPORT } from "#cli/support/full-report.js";
import { supervised } from "#cli/support/supervised.js";
import { engine } from "#cli/support/without-router.js";
import { errorText } from "#src/errors.js";
import { JSON_TYPE } from "#src/http/answer.js";
import { run } from "#src/linux/exec.js";
import { controlSocket, failureFile, keptLaunchFile, launchFile, paths } from "#src/paths.js";

/** Most bytes of each log, from its end. */
const LOG_BYTES = 1 << 20;
/** Most bytes of any other file. */
const FILE_BYTES = 4 << 20;
/** Lines of a log that another program keeps. */
const LOG_LINES = "5000";
const PARAMETERS = ["net.ipv4", "net.core", "net.netfilter", "net.bridge"];

/** A file of the archive, before secrets are removed. */
export interface Source {
  readonly name: string;
  read(): string | Promise<string>;
}

const command = (name: string, tool: string, ...args: string[]): Source => ({ name, read: () => run(tool, args) });
const file = (name: string, path: string, bytes = FILE_BYTES): Source => ({ name, read: () => endOf(path, bytes) });
const api = (name: string, path: string, accept?: string): Source => ({
  name,
  read: async () => (await call({ path, accept, address: controlSocket(paths().run), answerMs: REPORT_MS })).body,
});

/** Everything that the archive has of this host. A source that cannot be read leaves the reason in its place. */
export function sourcesOf(): readonly Source[] {
  const { run: folder, log } = paths();
  return [
    api("router/status.txt", "/status"),
    api("router/report.json", FULL_REPORT, JSON_TYPE),
    ...["targets", "connections", "peers", "ipam", "dns"].map((section) =>
      api(`router/${section}.txt`, `/status/${section}`),
    ),
    api("router/metrics.txt", "/metrics"),
    { name: "router/events.json", read: events },
    file("config/launch.json", launchFile(folder)),
    file("config/kept-launch.json", keptLaunchFile()),
    file("config/weave.env", ENVIRONMENT_FILE),
    file("config/failure.txt", failureFile(folder)),
    { name: "config/resolv.conf", read: () => endOf("/etc/resolv.conf", FILE_BYTES) },
    file("log/router.log", log, LOG_BYTES),
    file("log/router.log.1", `${log}.1`, LOG_BYTES),
    ...logsElsewhere(),
    ...["version", "sys/kernel/osrelease", "meminfo", "loadavg", "net/snmp", "net/softnet_stat"].map((path) =>
      file(`kernel/${path.replaceAll("/", "-")}.txt`, `/proc/${path}`),
    ),
    { name: "kernel/modules.txt", read: () => withoutAddresses(endOf("/proc/modules", FILE_BYTES)) },
    file("kernel/os-release.txt", "/etc/os-release"),
    { name: "kernel/network-parameters.txt", read: async () => withoutKeys(await run("sysctl", PARAMETERS)) },
    command("network/addresses.txt", "ip", "-details", "-statistics", "address", "show"),
    command("network/routes.txt", "ip", "route", "show", "table", "all"),
    command("network/rules.txt", "ip", "rule", "show"),
    command("network/nft.txt", "nft", "list", "ruleset"),
    command("network/iptables.txt", "iptables-save"),
    command("network/sockets.txt", "ss", "-lnptu"),
    { name: "engine/version.txt", read: engineFacts },
  ];
}

/** All events, also when no router runs. */
async function events(): Promise<string> {
  const known = await knownEvents().catch(async (error) => (await keptEvents()) ?? Promise.reject(error));
  return documentText("events", { Events: known });
}

/** Parameters without those that are keys: root reads that of TCP Fast Open, with which cookies for this host are made. */
export const withoutKeys = (parameters: string): string => parameters.replaceAll(/^.*_key\b.*\n?/gm, "");

/** Lines of /proc/modules without addresses: root reads where the kernel's code is in memory (proc_modules(5)). */
export const withoutAddresses = (modules: string): string => modules.replaceAll(/[ \t]+0x[\da-f]+/gi, "");

/** Logs of a router that systemd or an engine keeps running. */
function logsElsewhere(): Source[] {
  const { kind } = supervised();
  if (kind === "systemd")
    return [command("log/journal.txt", "journalctl", "-u", "weave", "--no-pager", "-n", LOG_LINES)];
  if (kind === "container")
    return [command("log/container.txt", "docker", "logs", "--tail", LOG_LINES, containerName())];
  return [];
}

async function engineFacts(): Promise<string> {
  const docker = engine();
  if (docker === undefined) return "no engine\n";
  const api = await docker.negotiate();
  return `${docker.product} ${docker.version ?? ""}, API ${api}\n`;
}

/** The end of a file, from the beginning of a line if something is left out. */
function endOf(path: string, bytes: number): string {
  const fd = openSync(path, "r");
  try {
    const { size } = fstatSync(fd);
    // Files of /proc report no size.
    const from = Math.max(0, size - bytes);
    const buffer = Buffer.alloc(bytes);
    let length = 0;
    for (let read = -1; read !== 0 && length < bytes; length += read)
      read = readSync(fd, buffer, length, bytes - length, from + length);
    const text = buffer.toString("utf8", 0, length);
    return from === 0 ? text : `[${from} bytes before are left out]\n${text.slice(text.indexOf("\n") + 1)}`;
  } finally {
    closeSync(fd);
  }
}

/** Reads a source. */
export async function textOf(source: Source): Promise<string> {
  try {
    return await source.read();
  } catch (error) {
    return `[not readable: ${errorText(error)}]\n`;
  }
}
