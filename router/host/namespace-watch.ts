import { type ChildProcess, spawn } from "node:child_process";
import type { BusyHolders } from "#router/attachments/busy-holders.js";
import type { ContainerLifecycle } from "#src/container-lifecycle.js";
import { errorText } from "#src/errors.js";
import { HOST_IFNAME_PREFIX, hostIfname } from "#src/linux/links/interface-names.js";
import { cniHostIfname, parseCniIdent } from "#src/linux/netns/cni-ident.js";
import { interfaceNames } from "#src/linux/netns/inspect.js";
import { inodeOfIdent } from "#src/linux/netns/netns.js";
import type { Log } from "#src/log.js";

/** Interval of checks, in case a report of the kernel is lost. */
const LOOK_MS = 5_000;
/** Delay of a check after a report: several interfaces are often removed together. */
const GATHER_MS = 20;
/** Delay before the monitor process is restarted. */
const RESTART_MS = 1_000;

/** Detects attached namespaces that have ended: the kernel then removes their interface, and reports the removal. */
export class NamespaceWatch {
  readonly #lifecycles: readonly ContainerLifecycle[];
  readonly #busy: Pick<BusyHolders, "has">;
  readonly #log: Log;
  readonly #poll: NodeJS.Timeout;
  #monitor: ChildProcess | undefined;
  #soon: NodeJS.Timeout | undefined;
  #stopped = false;

  /** @param busy holders that do not count as ended */
  constructor(lifecycles: readonly ContainerLifecycle[], busy: Pick<BusyHolders, "has">, log: Log) {
    this.#lifecycles = lifecycles;
    this.#busy = busy;
    this.#log = log;
    this.#poll = setInterval(() => void this.look(), LOOK_MS).unref();
    this.#startMonitor();
  }

  /** Checks all namespaces, and notifies the lifecycles (addresses, names) which of them are alive or have ended. */
  async look(): Promise<void> {
    for (const lifecycle of this.#lifecycles) void lifecycle.look?.();
    const wanted = this.#lifecycles.map((lifecycle) => ({
      lifecycle,
      ends: [...lifecycle.idents()].flatMap((ident) => {
        const name = hostEndOf(ident);
        // Also one that has its interface by the end of this check, after the interfaces were read.
        return name === undefined ? [] : [{ ident, name, busy: this.#busy.has(ident) }];
      }),
    }));
    if (wanted.every(({ ends }) => ends.length === 0)) return;
    try {
      const present = await interfaceNames();
      if (this.#stopped) return;
      for (const { lifecycle, ends } of wanted) {
        for (const { ident, name, busy } of ends) {
          if (present.has(name)) lifecycle.containerRuns(ident);
          else if (!busy && !this.#busy.has(ident)) lifecycle.containerEnded(ident);
        }
      }
    } catch (error) {
      this.#log.warn("cannot find out which containers still exist", { why: errorText(error) });
    }
  }

  stop(): void {
    this.#stopped = true;
    clearInterval(this.#poll);
    clearTimeout(this.#soon);
    this.#monitor?.kill();
  }

  #startMonitor(): void {
    if (this.#stopped) return;
    let ended = false;
    const again = () => {
      if (ended) return;
      ended = true;
      setTimeout(() => this.#startMonitor(), RESTART_MS).unref();
    };
    let monitor: ChildProcess;
    try {
      monitor = spawn("ip", ["-oneline", "monitor", "link"], { stdio: ["ignore", "pipe", "ignore"] });
    } catch {
      // Node throws some errors (ENOMEM), and emits others.
      return again();
    }
    this.#monitor = monitor;
    // A process that could not be started may never emit "close".
    monitor.on("error", again);
    monitor.once("close", again);
    monitor.stdout?.setEncoding("utf8").on("data", (text: string) => {
      if (!text.includes("Deleted") || !text.includes(HOST_IFNAME_PREFIX)) return;
      this.#soon ??= setTimeout(() => {
        this.#soon = undefined;
        void this.look();
      }, GATHER_MS).unref();
    });
    // The monitor must not keep the router process alive.
    monitor.unref();
    (monitor.stdout as { unref?: () => void } | null | undefined)?.unref?.();
  }
}

/** The name of the interface on the host whose end is the end of a holder; undefined for a holder without one. */
function hostEndOf(ident: string): string | undefined {
  const inode = inodeOfIdent(ident);
  if (inode !== undefined) return hostIfname({ inode });
  return parseCniIdent(ident) === undefined ? undefined : cniHostIfname(ident);
}
