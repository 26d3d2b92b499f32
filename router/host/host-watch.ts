import { errorText, WeaveError } from "#src/errors.js";
import { readSysctl, writeSysctl } from "#src/linux/links/bridge.js";
import { type ExpectedLinks, type LinkFault, linkFaults } from "#src/linux/links/link-faults.js";
import { ipBatch, type Link, listLinks } from "#src/linux/links/links.js";
import type { Log } from "#src/log.js";
import type { Problems } from "#src/problems.js";

/** Interval of checks: a change is repaired within 10 s. A check needs one `ip` process. */
const LOOK_MS = 5_000;
/** Checks without a fault between two checks of addresses and firewall, which need several processes. */
const QUIET_LOOKS = 2;

export interface HostWatchDeps {
  readonly expected: ExpectedLinks;
  /** Repairs exposed addresses and firewall rules. @param links all current interfaces */
  readonly repairOthers: (links: readonly Link[]) => Promise<void>;
  /** Called when the TAP device is gone. Only a new process can create another. */
  readonly onTapGone: (error: WeaveError) => void;
  readonly problems: Problems;
  readonly log: Log;
}

/**
 * Repairs the links that the router has created on the host. NetworkManager, `systemctl restart systemd-networkd` or a user may
 * change or remove them. `weave status` reports a fault that cannot be repaired, for as long as it lasts.
 */
export class HostWatch {
  readonly #deps: HostWatchDeps;
  readonly #timer: NodeJS.Timeout;
  /** Keys of the faults that are currently reported as problems. */
  #open: ReadonlySet<string> = new Set();
  #looking: Promise<void> | undefined;
  #stopped = false;
  /** Checks without a fault since addresses and firewall were checked. The start has just set them. */
  #quiet = 0;

  constructor(deps: HostWatchDeps) {
    this.#deps = deps;
    this.#timer = setInterval(() => void this.look(), LOOK_MS).unref();
  }

  /** Checks and repairs the links once, or waits for the current check. Never rejects. */
  look(): Promise<void> {
    this.#looking ??= this.#look()
      .catch((error) => this.#fail("host", `the links of weave on this host cannot be checked: ${errorText(error)}`))
      .finally(() => {
        this.#looking = undefined;
      });
    return this.#looking;
  }

  /** Stops the watch, and waits for the current repair: it could restore a link that the caller removes afterwards. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#timer);
    await this.#looking;
  }

  async #look(): Promise<void> {
    const { expected, repairOthers, onTapGone, problems, log } = this.#deps;
    let links = await listLinks();
    const faults = linkFaults(links, expected, readSysctl);
    let left: readonly LinkFault[] = [];
    if (faults.length > 0 && !this.#stopped) {
      const why = await repair(faults);
      links = await listLinks();
      left = linkFaults(links, expected, readSysctl);
      const keys = new Set(left.map(({ key }) => key));
      for (const { key, what } of faults)
        if (!keys.has(key)) log.warn("a link of weave was changed by another program; it is repaired", { was: what });
      for (const { key, what } of left)
        this.#fail(key, `${what}, and cannot be repaired${why === "" ? "" : `: ${why}`}`);
    }
    const now = new Set(left.map(({ key }) => key));
    for (const key of [...this.#open, "host"]) if (!now.has(key)) problems.clear(`host ${key}`);
    this.#open = now;
    if (this.#stopped) return;
    const tap = left.find(({ key }) => key === "tap" && !links.some(({ ifname }) => ifname === expected.tap));
    if (tap !== undefined) return onTapGone(new WeaveError("WEAVE_NATIVE", tap.what));
    this.#quiet = faults.length > 0 ? QUIET_LOOKS : this.#quiet + 1;
    if (this.#quiet < QUIET_LOOKS) return;
    this.#quiet = 0;
    await repairOthers(links);
  }

  #fail(key: string, text: string): void {
    if (!this.#stopped) this.#deps.log.warn(text);
    this.#deps.problems.set(`host ${key}`, `${text}.`);
  }
}

/** Repairs faults. @returns the reason of a failure; "" for success */
async function repair(faults: readonly LinkFault[]): Promise<string> {
  const commands = faults.flatMap((fault) => fault.commands);
  let why = "";
  try {
    // A failed command must not stop the others: a container may have ended meanwhile.
    if (commands.length > 0) await ipBatch(commands, { force: true });
  } catch (error) {
    why = errorText(error);
  }
  for (const { path, value } of faults.flatMap((fault) => fault.sysctls)) writeSysctl(path, value);
  return why;
}
