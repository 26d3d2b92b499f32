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
  /** Whether a Docker network, by its id, is driven by our plugin. */
  readonly isOurNetwork: (network: string) => boolean;
  /** How containers are created now. */
  readonly settings: () => Promise<CreateSettings>;
  readonly log: Log;
}

export interface ProxyCallsOptions {
  /** `docker inspect` shows the address on the overlay. */
  readonly rewriteInspect: boolean;
}

interface Route {
  readonly method: "GET" | "POST";
  /** Its first group, if it has one, is the container's name or id. */
  readonly path: RegExp;
  readonly handle: (call: ProxyCall, deps: ProxyCallsDeps, name: string) => Promise<void>;
}

const route = (method: Route["method"], path: string, handle: Route["handle"]): Route => ({
  method,
  path: new RegExp(`^(?:/v[\\d.]+)?${path}$`),
  handle,
});

const CHANGED: readonly Route[] = [
  route("POST", "/containers/create", createContainer),
  route("POST", "/containers/([^/]+)/(?:start|restart)", startContainer),
  route("POST", "/containers/([^/]+)/exec", createExec),
  route("POST", "/commit", commitContainer),
];
const INSPECTING: readonly Route[] = [
  route("GET", "/containers/([^/]+)/json", inspectContainer),
  route("GET", "/exec/([^/]+)/json", inspectExec),
];

/** The calls of the Docker API that the proxy changes; all others pass unchanged. */
export class ProxyCalls implements ChangedCalls {
  readonly #deps: ProxyCallsDeps;
  readonly #routes: readonly Route[];

  constructor(deps: ProxyCallsDeps, { rewriteInspect }: ProxyCallsOptions) {
    this.#deps = deps;
    this.#routes = rewriteInspect ? [...CHANGED, ...INSPECTING] : CHANGED;
  }

  handlerOf({ method, url = "" }: IncomingMessage): CallHandler | undefined {
    const path = url.split("?")[0];
    for (const route of this.#routes) {
      const match = method === route.method ? route.path.exec(path) : null;
      if (match !== null) return (call) => route.handle(call, this.#deps, decodeURIComponent(match[1] ?? ""));
    }
    return undefined;
  }
}
