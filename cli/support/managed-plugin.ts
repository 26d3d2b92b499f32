import { readFileSync } from "node:fs";
import { runningProcesses } from "#cli/support/processes.js";

/** The program of a managed plugin, which starts its router, as its command line shows it. */
const PROGRAM = "/router/managed-plugin.js";
/** Digits of a plugin's id that `docker plugin ls` shows. */
const SHOWN = 12;

/**
 * The managed plugin of Docker whose router runs on this host. Its process has the plugin's id in the names of its control groups.
 *
 * @returns the first digits of its id ("" if they cannot be read); undefined when the router is not a plugin's
 */
export function managedPlugin(): string | undefined {
  const { router } = runningProcesses();
  if (router === undefined) return undefined;
  try {
    const parent = /^PPid:\s*(\d+)/m.exec(readFileSync(`/proc/${router}/status`, "utf8"))?.[1];
    const words = readFileSync(`/proc/${parent}/cmdline`, "utf8").split("\0");
    if (!words.some((word) => word.endsWith(PROGRAM))) return undefined;
    return /[0-9a-f]{64}/.exec(readFileSync(`/proc/${parent}/cgroup`, "utf8"))?.[0].slice(0, SHOWN) ?? "";
  } catch {
    // It has ended since.
    return undefined;
  }
}

/** Text for a launch on a host whose router runs: how to stop that one. */
export function runningText(): string {
  const plugin = managedPlugin();
  if (plugin === undefined) return "weave is already running; you can stop it with 'weave stop'.";
  return `weave is already running: its router is of Docker's managed plugin${plugin && ` ${plugin}`}; 'docker plugin disable' stops it.`;
}
