import { WEAVE_CIDR, wantedAddresses } from "#docker/addresses/weave-cidr.js";
import type { ContainerAttachments, HostsFile } from "#docker/container-attachments.js";
import { fqdnOf } from "#docker/containers/container-names.js";
import type { ContainerObserver } from "#docker/containers/container-tracker.js";
import { type Container, shortId } from "#docker/engine/shapes.js";
import { isWrapped } from "#docker/wait/wrapped.js";
import { addressOfCidr } from "#src/address.js";
import { Backoff, type BackoffPolicy } from "#src/backoff.js";
import { pause, systemClock } from "#src/clock.js";
import { errorText, WeaveError } from "#src/errors.js";
import type { Log } from "#src/log.js";
import { systemRandom } from "#src/random.js";

/** Retries for a container whose start no client waits for. Its command has not begun: it waits for the interface. Intervals of Weave Net. */
const RETRY: BackoffPolicy = { firstMs: 2_000, factor: 1.5, lastMs: 60_000, spread: 0 };

export interface AttacherDeps {
  readonly attachments: ContainerAttachments;
  /** Undefined when address allocation is off: then a container must name its addresses. */
  readonly ipam: object | undefined;
  readonly log: Log;
}

export interface AttacherOptions {
  readonly rewriteHosts: boolean;
  readonly multicastRoute: boolean;
}

/** Result of the attempts to attach one run of a container. */
interface Attachment {
  /** Docker's text of the time at which the run began; it identifies the run. */
  readonly startedAt: string;
  /** In CIDR notation; undefined while all attempts have failed. */
  readonly addresses: readonly string[] | undefined;
}

/** Attaches containers that were created through the proxy when they start. Their commands wait for the interface. */
export class Attacher implements ContainerObserver {
  readonly #deps: AttacherDeps;
  readonly #options: AttacherOptions;
  /** The last result for each container that runs. */
  readonly #attachments = new Map<string, Attachment>();
  /** Resolve functions of the calls that wait for a container's first result. */
  readonly #waiting = new Map<string, Set<() => void>>();

  constructor(deps: AttacherDeps, options: AttacherOptions) {
    this.#deps = deps;
    this.#options = options;
  }

  /** Attaches a container, and retries until it succeeds or the run ends. */
  async running(container: Container, signal: AbortSignal): Promise<void> {
    const backoff = new Backoff(RETRY, systemRandom);
    while (!signal.aborted) {
      try {
        await this.attach(container, signal);
        return;
      } catch (error) {
        if (signal.aborted) return;
        this.#deps.log.warn("a container could not be put on the network; it is tried again", {
          container: shortId(container.Id),
          why: errorText(error),
        });
      }
      await pause(systemClock, backoff.next(), signal);
    }
  }

  ended(id: string): void {
    this.#attachments.delete(id);
    this.#wake(id);
  }

  /**
   * Attaches a container that was created through the proxy. Does nothing for other containers, and for one that is attached.
   *
   * @param timeoutMs limit for the wait for an address; undefined: none
   * @throws the reason for which it could not be attached; WEAVE_CANCELLED when `signal` is aborted
   */
  async attach(container: Container, signal: AbortSignal, timeoutMs?: number): Promise<void> {
    if (!isWrapped(container) || this.isAttached(container)) return;
    try {
      const addresses = await this.#attach(container, signal, timeoutMs);
      // Recorded also after an abort: the container's command runs now, so a second call for this run must not attach it again.
      this.#settle(container, addresses);
    } catch (error) {
      if (!signal.aborted) this.#settle(container, undefined);
      throw error;
    }
  }

  isAttached(container: Container): boolean {
    return this.#current(container)?.addresses !== undefined;
  }

  /** Resolves when a container that has just started is attached, or an attempt has failed; at the latest after `limitMs`. */
  async firstAttempt(container: Container, limitMs: number): Promise<void> {
    if (!isWrapped(container) || this.#current(container) !== undefined) return;
    await new Promise<void>((resolve) => {
      const waiting = this.#waiting.get(container.Id) ?? new Set();
      this.#waiting.set(container.Id, waiting.add(resolve));
      setTimeout(() => {
        waiting.delete(resolve);
        resolve();
      }, limitMs).unref();
    });
  }

  /** Addresses of an attached container, without prefix lengths. */
  addressesOf(id: string): string[] {
    return (this.#attachments.get(id)?.addresses ?? []).map((cidr) => addressOfCidr(cidr));
  }

  #current({ Id, State }: Container): Attachment | undefined {
    const attachment = this.#attachments.get(Id);
    return attachment?.startedAt === State.StartedAt ? attachment : undefined;
  }

  #settle({ Id, State }: Container, addresses: readonly string[] | undefined): void {
    this.#attachments.set(Id, { startedAt: State.StartedAt, addresses });
    this.#wake(Id);
  }

  #wake(id: string): void {
    for (const resolve of this.#waiting.get(id) ?? []) resolve();
    this.#waiting.delete(id);
  }

  async #attach(container: Container, signal: AbortSignal, timeoutMs?: number): Promise<readonly string[]> {
    const wanted = wantedAddresses(container.Config.Env, true);
    if (wanted === undefined) return [];
    if (this.#deps.ipam === undefined && wanted.some(({ kind }) => kind === "net")) {
      throw new WeaveError(
        "WEAVE_DOCKER",
        `IP address allocation is off on this host: a container needs ${WEAVE_CIDR}`,
        { next: `Run it with '-e ${WEAVE_CIDR}=10.2.1.1/24', say; or launch weave with a range.` },
      );
    }
    const { multicastRoute, rewriteHosts } = this.#options;
    return this.#deps.attachments.attach({
      ident: container.Id,
      pid: container.State.Pid,
      wanted,
      multicastRoute,
      hostsFile: rewriteHosts ? hostsFileOf(container) : undefined,
      timeoutMs,
      signal,
    });
  }
}

function hostsFileOf(container: Container): HostsFile {
  const { Hostname } = container.Config;
  const extra = container.HostConfig.ExtraHosts;
  return { path: container.HostsPath, name: fqdnOf(container) ?? Hostname, hostname: Hostname, extra };
}
