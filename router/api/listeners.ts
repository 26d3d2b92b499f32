import type { Server } from "node:http";
import { fullAccess, makeToken, tcpAccess } from "#router/api/access.js";
import { type Access, createApi, listenApi } from "#router/api/http.js";
import { routesFor } from "#router/api/routes.js";
import type { Route, Scope } from "#router/route.js";
import type { Log } from "#src/log.js";
import { controlSocket } from "#src/paths.js";
import type { Problems } from "#src/problems.js";

/** Addresses of the API's listeners; "" for none. */
export interface ApiOptions {
  readonly httpAddr: string;
  /** True: clients over TCP may change everything without a token. */
  readonly insecureHttp: boolean;
  readonly statusAddr: string;
  readonly metricsAddr: string;
}

export interface ApiDeps {
  /** Folder of the router's sockets. */
  readonly run: string;
  readonly log: Log;
  readonly problems: Problems;
}

/**
 * The listeners of control API, status and metrics, each at its address. The control API also listens at its Unix socket. The
 * listeners are opened before the router starts: a port in use is found before the host is changed. They answer 503 until
 * {@link serve}.
 */
export class ApiListeners {
  readonly #deps: ApiDeps;
  readonly #servers: Server[] = [];
  #routes: readonly Route[] | undefined;

  constructor(deps: ApiDeps) {
    this.#deps = deps;
  }

  /** Opens the listeners. @throws WEAVE_PORT_IN_USE, WEAVE_FLAG_INVALID, WEAVE_API; listeners opened before stay open */
  async open({ httpAddr, insecureHttp, statusAddr, metricsAddr }: ApiOptions): Promise<void> {
    const { run, log, problems } = this.#deps;
    const socket = controlSocket(run);
    await this.#open(socket, "socket", undefined);
    // Only after the socket: if another router serves it, that router's token must stay valid.
    const token = makeToken(run);
    if (httpAddr !== socket) await this.#open(httpAddr, "control", insecureHttp ? undefined : token);
    if (insecureHttp && httpAddr !== "" && !httpAddr.startsWith("/")) {
      const why = `any client that reaches the control API at ${httpAddr} can change everything (--insecure-http); 'weave stop' and a launch without that flag close it.`;
      log.warn(why);
      problems.set("control API", why);
    }
    await this.#open(statusAddr, "status", token);
    await this.#open(metricsAddr, "metrics", token);
  }

  /** Serves requests from now on. Call this when the router has started. */
  serve(routes: readonly Route[]): void {
    this.#routes = routes;
  }

  close(): void {
    for (const server of this.#servers) {
      server.close();
      server.closeAllConnections();
    }
  }

  async #open(address: string, scope: Scope, token: string | undefined): Promise<void> {
    if (address === "") return;
    const { run, log } = this.#deps;
    const access: Access = address.startsWith("/") ? fullAccess : tcpAccess({ address, token, run });
    let served: readonly Route[] | undefined;
    const routes = () => {
      if (served === undefined && this.#routes !== undefined) served = routesFor(scope, this.#routes);
      return served;
    };
    const server = createApi(routes, log, access);
    await listenApi(server, address);
    this.#servers.push(server);
    if (/^(0\.0\.0\.0)?:/.test(address))
      log.warn("the API listens at all addresses of this host; any client that reaches one of them can read it", {
        address,
      });
  }
}
