import { statSync } from "node:fs";
import type { LocalEndpoint } from "#docker/services/local-tasks.js";
import { isNetnsFile, type Netns } from "#src/linux/netns/netns.js";

/** Interval at which a namespace is awaited: engines before 29 make it after the call that joins it. */
const LOOK_MS = 5;
/** Time after which a container has started, or has failed to. */
const LIMIT_MS = 15_000;
/** Maximum number of sandboxes that are awaited. */
const MAX_SANDBOXES = 1_024;
/** The host's files, which a plugin sees by the first process. */
const HOST_ROOT = "/proc/1/root";

/** Namespaces of containers that are about to start: their programs connect as soon as they run, before an event reports them. */
export class JoinedSandboxes {
  readonly #onChange: () => void;
  readonly #sandboxes = new Map<
    string,
    LocalEndpoint & { readonly path: string; readonly until: number; netns?: Netns }
  >();
  #timer: NodeJS.Timeout | undefined;

  constructor(onChange: () => void) {
    this.#onChange = onChange;
  }

  /** @param sandbox path of the namespace, as the engine names it */
  add(network: string, endpoint: string, sandbox: string): void {
    if (!/^\/[\w./-]{1,255}$/.test(sandbox) || sandbox.includes("..") || this.#sandboxes.size >= MAX_SANDBOXES) return;
    // A link of the host's /var would lead to the plugin's own /run.
    const path = `${HOST_ROOT}${sandbox.replace(/^\/var\/run\//, "/run/")}`;
    this.#sandboxes.set(endpoint, { network, endpoint, path, until: performance.now() + LIMIT_MS });
    this.#look();
  }

  /** The container of an endpoint is known, or has ended. */
  remove(endpoint: string): void {
    this.#sandboxes.delete(endpoint);
  }

  /** Networks of all sandboxes, also of those that are awaited. */
  get networks(): readonly string[] {
    return [...this.#sandboxes.values()].map(({ network }) => network);
  }

  /** The sandboxes that exist. */
  get sandboxes(): readonly { readonly netns: Netns; readonly endpoints: readonly LocalEndpoint[] }[] {
    return [...this.#sandboxes.values()].flatMap(({ netns, network, endpoint }) =>
      netns === undefined ? [] : [{ netns, endpoints: [{ network, endpoint }] }],
    );
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#sandboxes.clear();
  }

  #look(): void {
    clearTimeout(this.#timer);
    let hasChanged = false;
    const now = performance.now();
    for (const [endpoint, sandbox] of this.#sandboxes) {
      if (sandbox.until < now) hasChanged = this.#sandboxes.delete(endpoint);
      else if (sandbox.netns === undefined && isNetnsFile(sandbox.path)) {
        sandbox.netns = { path: sandbox.path, inode: statSync(sandbox.path).ino };
        hasChanged = true;
      }
    }
    if (hasChanged) this.#onChange();
    const awaited = [...this.#sandboxes.values()].some(({ netns }) => netns === undefined);
    if (this.#sandboxes.size === 0) return;
    this.#timer = setTimeout(() => this.#look(), awaited ? LOOK_MS : 1_000).unref();
  }
}
