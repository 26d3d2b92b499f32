import { readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import type { CniPlugin } from "#router/cni/cni-calls.js";
import { MAX_CNI_REQUEST } from "#router/cni/cni-request.js";
import { type Clock, every, type Timer } from "#src/clock.js";
import { errorText, systemCode, WeaveError } from "#src/errors.js";
import type { Log } from "#src/log.js";

/** A file that its writer has left: to write one takes milliseconds. */
const ABANDONED_MS = 60_000;

/** Interval of drains: longer than the client waits for an answer (15 s), before it stores a call. */
const DRAIN_MS = 20_000;

export interface ReleaseQueueDeps {
  /** Folder of the stored calls; it may be missing. */
  readonly folder: string;
  /** Executes a stored call. */
  readonly replay: (plugin: CniPlugin, body: Buffer) => Promise<void>;
  /** The attachment that a call is about. @throws WEAVE_CNI for a malformed call */
  readonly attachmentOf: (plugin: CniPlugin, body: Buffer) => string;
  readonly log: Log;
}

/**
 * The DEL calls that the CNI client stores while no router answers, each as a file with the body of its request. The queue is drained at the
 * start of the router, before each call, as an ADD may be for the same container, and regularly: the client also stores a call that came
 * while the router was starting, or too busy to answer.
 */
export class ReleaseQueue {
  readonly #deps: ReleaseQueueDeps;
  /** The last drain. Each begins after the one before: a call may have been stored after that one had read the folder. */
  #last: Promise<void> = Promise.resolve();

  constructor(deps: ReleaseQueueDeps) {
    this.#deps = deps;
  }

  /**
   * Executes all stored calls, and removes them. Never rejects. A call that fails stays, unless it is malformed.
   *
   * @param added an attachment that is made next: its calls do not stay, because a later drain would remove its interface
   */
  drain(added?: string): Promise<void> {
    this.#last = this.#last.then(() =>
      this.#drain(added).catch((error) =>
        this.#deps.log.warn("stored CNI calls cannot be read", { why: errorText(error) }),
      ),
    );
    return this.#last;
  }

  /** Drains the queue every {@link DRAIN_MS}, until the timer is cancelled. */
  drainRegularly(clock: Clock): Timer {
    return every(clock, DRAIN_MS, () => void this.drain());
  }

  async #drain(added: string | undefined): Promise<void> {
    for (const name of list(this.#deps.folder)) {
      const path = join(this.#deps.folder, name);
      const plugin = /^[0-9a-f]{16}\.(net|ipam)$/.exec(name)?.[1];
      if (plugin !== undefined) await this.#replay(path, plugin as CniPlugin, added);
      else if (name.startsWith(".") && ageOf(path) > ABANDONED_MS) rmSync(path, { force: true });
    }
  }

  async #replay(path: string, plugin: CniPlugin, added: string | undefined): Promise<void> {
    const { replay, attachmentOf, log } = this.#deps;
    let body: Buffer | undefined;
    try {
      body = read(path);
      if (body === undefined) return;
      await replay(plugin, body);
      log.info("a container's addresses are released: it ended while no router ran (CNI)", { file: path });
    } catch (error) {
      log.warn("a stored CNI call failed", { file: path, why: errorText(error) });
      const isMalformed = error instanceof WeaveError && error.code === "WEAVE_CNI";
      if (!isMalformed && (body === undefined || attachmentOf(plugin, body) !== added)) return;
    }
    rmSync(path, { force: true });
  }
}

/** @returns undefined for a file that is gone @throws WEAVE_CNI for a file that is too large */
function read(path: string): Buffer | undefined {
  const status = statSync(path, { throwIfNoEntry: false });
  if (status === undefined) return undefined;
  if (!status.isFile() || status.size > MAX_CNI_REQUEST)
    throw new WeaveError("WEAVE_CNI", `${path} is no stored call: it is larger than ${MAX_CNI_REQUEST} bytes`);
  return readFileSync(path);
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder).sort();
  } catch (error) {
    if (systemCode(error) === "ENOENT") return [];
    throw error;
  }
}

function ageOf(path: string): number {
  const status = statSync(path, { throwIfNoEntry: false });
  return status === undefined ? 0 : Date.now() - status.mtimeMs;
}
