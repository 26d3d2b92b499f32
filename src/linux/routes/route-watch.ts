import { closeSync, openSync, readFileSync, readSync } from "node:fs";

/** Interval of comparisons. A path whose MTU has shrunk loses frames until the change is detected; a comparison is cheap. */
const LOOK_MS = 2_000;
/** Bytes of the routing table that are compared. Changes beyond them are not detected: an internet router has a million routes. */
const MOST_ROUTE_BYTES = 64 << 10;

/** Detects changes of this host's routes (main table), and of the MTUs of the devices that the routes use. */
export class RouteWatch {
  readonly #changed: () => void;
  readonly #timer: NodeJS.Timeout;
  readonly #routes = Buffer.alloc(MOST_ROUTE_BYTES);
  #seen: string;

  /** @param changed called after each change */
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
    // proc_net(5): a line of headings, then one line for each route, which begins with its device.
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
    // The device is gone, or /sys is not mounted.
    return "";
  }
}
