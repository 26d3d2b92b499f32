import { closeSync, openSync, readFileSync, readSync } from "node:fs";

/** Two small reads; a path that became too large loses frames until this detects it. */
const LOOK_MS = 2_000;
/** An internet router has a million routes. A change beyond these is not detected. */
const MOST_ROUTE_BYTES = 64 << 10;

/** Detects changes of the routes of this host (its main table), and of the MTU of a device that they use. */
export class RouteWatch {
  readonly #changed: () => void;
  readonly #timer: NodeJS.Timeout;
  readonly #routes = Buffer.alloc(MOST_ROUTE_BYTES);
  #seen: string;

  constructor(changed: () => void) {
    this.#changed = changed;
    this.#seen = this.#look();
    this.#timer = setInterval(() => {
      const now = this.#look();
      if (now === this.#seen) return;
      this.#seen = now;
      this.#changed();
    }, LOOK_MS).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #look(): string {
    // proc_net(5): a line of headings, then one route a line, its device first.
    const routes = this.#read().split("\n").slice(1);
    const devices = new Set(routes.map((route) => route.split("\t", 1)[0]).filter((device) => device !== ""));
    return [...routes, ...[...devices].map((device) => `${device} ${mtuOf(device)}`)].join("\n");
  }

  #read(): string {
    try {
      const fd = openSync("/proc/net/route", "r");
      try {
        return this.#routes.toString("latin1", 0, readSync(fd, this.#routes));
      } finally {
        closeSync(fd);
      }
    } catch {
      return "";
    }
  }
}

function mtuOf(device: string): string {
  try {
    return readFileSync(`/sys/class/net/${device}/mtu`, "latin1").trim();
  } catch {
    // It is gone, or /sys is not there.
    return "";
  }
}
