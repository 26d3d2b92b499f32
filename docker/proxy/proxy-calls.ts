import type { IncomingMessage } from "node:http";
import type { Attacher } from "#docker/containers/attacher.js";
import type { ContainerTracker } from "#docker/containers/container-tracker.js";
import type { Engine } from "#docker/engine/engine.js";
import type { CallHandler, ChangedCalls, ProxyCall } from "#docker/proxy/call.js";
import { commitContainer } from "#docker/proxy/commit-call.js";
import { createContainer } from "#docker/proxy/create-call.js";
import type { CreateSettings } from "#docker/proxy/create-rewrite.js";
import { createExec } from "#docker/proxy/exec-call.js";
import { inspectContainer, inspectExec } from "#docker/proxy/inspect-call.js";
import { startContainer } from "#docker/proxy/start-call.js";
import type { Log } from "#src/log.js";

export interface ProxyCallsDeps {
  readonly engine: Engine;
  readonly containers: Pick<ContainerTracker, "serveStarted">;
  readonly attacher: Attacher;
  /** Whether our plugin drives the Docker network with this id. */
  readonly isOurNetwork: (network: string) => boolean;
  /** Returns the current settings for created containers. */
  readonly settings: () => Promise<CreateSettings>;
  readonly log: Log;
}

export interface ProxyCallsOptions {
  /** Whether `docker inspect` shows the address on the overlay. */
  readonly rewriteInspect: boolean;
}

/** A kind of call, with its handler. */
interface Rule {
  readonly method: "GET" | "POST";
  /** Its first group, if any, is the id or name in the path. */
  readonly path: RegExp;
  readonly handle: (call: ProxyCall, deps: ProxyCallsDeps, name: string) => Promise<void>;
}

const rule = (method: Rule["method"], path: string, handle: Rule["handle"]): Rule => ({
  method,
  path: new RegExp(`^(?:/v[\\d.]+)?${path}$`),
  handle,
});

const CHANGED: readonly Rule[] = [
  rule("POST", "/containers/create", createContainer),
  rule("POST", "/containers/([^/]+)/(?:start|restart)", startContainer),
  rule("POST", "/containers/([^/]+)/exec", createExec),
  rule("POST", "/commit", commitContainer),
];
const INSPECTING: readonly Rule[] = [
  rule("GET", "/containers/([^/]+)/json", inspectContainer),
  rule("GET", "/exec/([^/]+)/json", inspectExec),
];

/** Selects the calls of the Docker API that the proxy changes, and handles them. All others pass unchanged. */
export class ProxyCalls implements ChangedCalls {
  readonly #deps: ProxyCallsDeps;
  readonly #rules: readonly Rule[];

  constructor(deps: ProxyCallsDeps, { rewriteInspect }: ProxyCallsOptions) {
    this.#deps = deps;
    this.#rules = rewriteInspect ? [...CHANGED, ...INSPECTING] : CHANGED;
  }

  handlerOf({ method, url = "" }: IncomingMessage): CallHandler | undefined {
    const path = url.split("?")[0];
    for (const rule of this.#rules) {
      const match = method === rule.method ? rule.path.exec(path) : null;
      if (match !== null) return (call) => rule.handle(call, this.#deps, decodeURIComponent(match[1] ?? ""));
    }
    return undefined;
  }
}
