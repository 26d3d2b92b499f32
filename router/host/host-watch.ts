import { errorText } from "#src/errors.js";
import { readSysctl, sysctl } from "#src/linux/links/bridge.js";
import { type ExpectedLinks, type LinkFault, linkFaults } from "#src/linux/links/link-faults.js";
import { ipBatch, type Link, listLinks } from "#src/linux/links/links.js";
import type { Log } from "#src/log.js";
import type { Problems } from "#src/problems.js";

/** What is changed is right again within 10 s. One look is one `ip` process. */
const LOOK_MS = 5_000;
/** Looks without a fault from one look at the others to the next: that takes several processes. */
const OTHERS_EVERY = 2;

export interface HostWatchParts {
  readonly made: ExpectedLinks;
  /** Looks after the rest, with the interfaces as they are now: exposed addresses, firewall. */
  readonly others: (links: readonly Link[]) => Promise<void>;
  /** Only a new process makes a new one. */
  readonly onTapGone: (what: string) => void;
  readonly problems: Problems;
  readonly log: Log;
}

/**
 * Keeps on the host what the router made there: NetworkManager, `systemctl restart systemd-networkd`, or a user may take it
 * away. What cannot be put right is a problem in `weave status`, until it is right.
 */
export class HostWatch {
  readonly #parts: HostWatchParts;
  readonly #timer: NodeJS.Timeout;
  /** Keys of the faults that are problems now. */
  #open: ReadonlySet<string> = new Set();
  #looking: Promise<void> | undefined;
  #stopped = false;
  #quiet = OTHERS_EVERY;

  constructor(parts: HostWatchParts) {
    this.#parts = parts;
    this.#timer = setInterval(() => void this.look(), LOOK_MS).unref();
  }

  /** Looks once, or waits for the look that is under way. Never fails. */
  look(): Promise<void> {
    this.#looking ??= this.#look()
      .catch((error) => this.#fail("host", `what weave made on this host cannot be looked at: ${errorText(error)}`))
      .finally(() => {
        this.#looking = undefined;
      });
    return this.#looking;
  }

  /** Also waits for a repair that is under way: it would bring back what the caller removes. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#timer);
    await this.#looking;
  }

  async #look(): Promise<void> {
    const { made, others, onTapGone, problems, log } = this.#parts;
    let links = await listLinks();
    const faults = linkFaults(links, made, readSysctl);
    let left: readonly LinkFault[] = [];
    if (faults.length > 0 && !this.#stopped) {
      const why = await repair(faults);
      links = await listLinks();
      left = linkFaults(links, made, readSysctl);
      const keys = new Set(left.map(({ key }) => key));
      for (const { key, what } of faults)
        if (!keys.has(key)) log.warn("what weave made on this host was changed; it is put right", { was: what });
      for (const { key, what } of left)
        this.#fail(key, `${what}, and cannot be put right${why === "" ? "" : `: ${why}`}`);
    }
    const now = new Set(left.map(({ key }) => key));
    for (const key of [...this.#open, "host"]) if (!now.has(key)) problems.clear(`host ${key}`);
    this.#open = now;
    if (this.#stopped) return;
    const tap = left.find(({ key }) => key === "tap" && !links.some(({ ifname }) => ifname === made.tap));
    if (tap !== undefined) return onTapGone(tap.what);
    this.#quiet = faults.length > 0 ? OTHERS_EVERY : this.#quiet + 1;
    if (this.#quiet < OTHERS_EVERY) return;
    this.#quiet = 0;
    await others(links);
  }

  #fail(key: string, text: string): void {
    if (!this.#stopped) this.#parts.log.warn(text);
    this.#parts.problems.set(`host ${key}`, `${text}.`);
  }
}

/** @returns why some of it failed; "" when nothing did */
async function repair(faults: readonly LinkFault[]): Promise<string> {
  const commands = faults.flatMap((fault) => fault.commands);
  let why = "";
  try {
    // One that fails must not keep the others from being tried: a container may end at this moment.
    if (commands.length > 0) await ipBatch(commands, { force: true });
  } catch (error) {
    why = errorText(error);
  }
  for (const { path, value } of faults.flatMap((fault) => fault.sysctls)) sysctl(path, value);
  return why;
}
