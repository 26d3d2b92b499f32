import { type ChildProcess, spawn } from "node:child_process";
import type { ContainerLifecycle } from "#src/container-lifecycle.js";
import { errorText } from "#src/errors.js";
import { HOST_IFNAME_PREFIX, hostIfname } from "#src/linux/links/interface-names.js";
import { interfaceNames } from "#src/linux/netns/inspect.js";
import { inodeOfIdent } from "#src/linux/netns/netns.js";
import type { Log } from "#src/log.js";

/** The kernel reports each interface that ends; in case its report is lost, this is the interval of checks. */
const LOOK_MS = 5_000;
/** Several interfaces often end together. */
const GATHER_MS = 20;
const RESTART_MS = 1_000;

/** Finds out which of the attached namespaces have ended: the kernel removes their interface then, and reports it. */
export class NamespaceWatch {
  readonly #lifecycles: readonly ContainerLifecycle[];
  readonly #log: Log;
  readonly #poll: NodeJS.Timeout;
  #monitor: ChildProcess | undefined;
  #soon: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(lifecycles: readonly ContainerLifecycle[], log: Log) {
    this.#lifecycles = lifecycles;
    this.#log = log;
    this.#poll = setInterval(() => void this.look(), LOOK_MS).unref();
    this.#startMonitor();
  }

  /** Notifies everything that is kept for containers, by container: addresses, names. */
  async look(): Promise<void> {
    for (const lifecycle of this.#lifecycles) void lifecycle.look?.();
    const wanted = this.#lifecycles.map((lifecycle) => ({
      lifecycle,
      namespaces: [...lifecycle.idents()].filter((ident) => inodeOfIdent(ident) !== undefined),
    }));
    if (wanted.every(({ namespaces }) => namespaces.length === 0)) return;
    try {
      const present = await interfaceNames();
      if (this.#stopped) return;
      for (const { lifecycle, namespaces } of wanted) {
        for (const ident of namespaces) {
          if (present.has(hostIfname({ inode: inodeOfIdent(ident)! }))) lifecycle.containerRuns(ident);
          else lifecycle.containerEnded(ident);
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
      // Some errors are thrown: no memory.
      return again();
    }
    this.#monitor = monitor;
    // Other errors are emitted. A process that never started may have no output, and never close.
    monitor.on("error", again);
    monitor.once("close", again);
    monitor.stdout?.setEncoding("utf8").on("data", (text: string) => {
      if (!text.includes("Deleted") || !text.includes(HOST_IFNAME_PREFIX)) return;
      this.#soon ??= setTimeout(() => {
        this.#soon = undefined;
        void this.look();
      }, GATHER_MS).unref();
    });
    // It must not keep the router alive.
    monitor.unref();
    (monitor.stdout as { unref?: () => void } | null | undefined)?.unref?.();
  }
}
