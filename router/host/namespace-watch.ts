import { type ChildProcess, spawn } from "node:child_process";
import type { ContainerLifecycle } from "#src/container-lifecycle.js";
import { errorText } from "#src/errors.js";
import { interfaceNames } from "#src/linux/netns/inspect.js";
import { inodeOfIdent } from "#src/linux/netns/netns.js";
import { HOST_IFNAME_PREFIX, hostIfname } from "#src/linux/netns/veth.js";
import type { Log } from "#src/log.js";

/** We are told when an interface goes; should that fail, we look this often. As often as the original. */
const LOOK_MS = 5_000;
/** Several interfaces often go together. */
const GATHER_MS = 20;
const RESTART_MS = 1_000;

/** Knows which of the attached namespaces have ended: the kernel then removes their interface, and says so. */
export class NamespaceWatch {
  readonly #holders: readonly ContainerLifecycle[];
  readonly #log: Log;
  readonly #poll: NodeJS.Timeout;
  #monitor: ChildProcess | undefined;
  #soon: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(holders: readonly ContainerLifecycle[], log: Log) {
    this.#holders = holders;
    this.#log = log;
    this.#poll = setInterval(() => void this.look(), LOOK_MS).unref();
    this.#startMonitor();
  }

  /** Tells every holder which of its namespaces are there. */
  async look(): Promise<void> {
    for (const holder of this.#holders) void holder.look?.();
    const wanted = this.#holders.map((holder) => ({
      holder,
      namespaces: [...holder.idents()].filter((ident) => inodeOfIdent(ident) !== undefined),
    }));
    if (wanted.every(({ namespaces }) => namespaces.length === 0)) return;
    try {
      const present = await interfaceNames();
      if (this.#stopped) return;
      for (const { holder, namespaces } of wanted) {
        for (const ident of namespaces) {
          if (present.has(hostIfname({ inode: inodeOfIdent(ident)! }))) holder.alive(ident);
          else holder.died(ident);
        }
      }
    } catch (error) {
      this.#log.warn("cannot look which containers are still there", { why: errorText(error) });
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
      // No memory: some errors are thrown.
      return again();
    }
    this.#monitor = monitor;
    // Others are emitted. A process that was never there may have no output and never close.
    monitor.on("error", again);
    monitor.once("close", again);
    monitor.stdout?.setEncoding("utf8").on("data", (text: string) => {
      if (!text.includes("Deleted") || !text.includes(HOST_IFNAME_PREFIX)) return;
      this.#soon ??= setTimeout(() => {
        this.#soon = undefined;
        void this.look();
      }, GATHER_MS).unref();
    });
    // It must not keep us alive.
    monitor.unref();
    (monitor.stdout as { unref?: () => void } | null | undefined)?.unref?.();
  }
}
