import { errorText } from "#src/errors.js";
import { sendUnixDatagram } from "#src/linux/native/unix-datagram.js";
import type { Log } from "#src/log.js";

/** Share of the watchdog's time after which the next sign is sent: two can be late (sd_watchdog_enabled(3) advises half). */
const WATCHDOG_SHARE = 1 / 3;

/**
 * Notifies a service manager that requests it (sd_notify(3)) of the state of this process, and, from the event loop, that it does not
 * hang. Without NOTIFY_SOCKET all methods do nothing.
 */
export class ServiceManager {
  readonly #log: Log;
  readonly #socket: string | undefined;
  readonly #watchdogMs: number;
  #timer: NodeJS.Timeout | undefined;

  /** @param env its variables about the service manager are removed: children of this process must not use them */
  constructor(log: Log, env: NodeJS.ProcessEnv) {
    this.#log = log;
    this.#socket = env.NOTIFY_SOCKET || undefined;
    const own = env.WATCHDOG_PID === undefined || env.WATCHDOG_PID === String(process.pid);
    const usec = own ? Number(env.WATCHDOG_USEC) : 0;
    this.#watchdogMs = Number.isSafeInteger(usec) && usec > 0 ? usec / 1_000 : 0;
    for (const name of ["NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"]) delete env[name];
  }

  /** The service works. From now on a sign of life is due before the watchdog's time is over. */
  ready(status: string): void {
    this.#send("READY=1", `STATUS=${status}`);
    if (this.#watchdogMs > 0)
      this.#timer = setInterval(() => this.#send("WATCHDOG=1"), this.#watchdogMs * WATCHDOG_SHARE).unref();
  }

  /** The service starts, or has failed: what a user sees beside its state. */
  status(status: string): void {
    this.#send(`STATUS=${status}`);
  }

  stopping(): void {
    clearInterval(this.#timer);
    this.#send("STOPPING=1", "STATUS=stopping");
  }

  #send(...lines: string[]): void {
    if (this.#socket === undefined) return;
    try {
      sendUnixDatagram(this.#socket, lines.map((line) => line.replaceAll("\n", " ")).join("\n"));
    } catch (error) {
      this.#log.warn("the service manager cannot be notified", { why: errorText(error) });
    }
  }
}
