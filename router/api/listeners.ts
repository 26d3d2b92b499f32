import type { Server, ServerResponse } from "node:http";
import { fullAccess, makeToken, type TcpAccessOptions, tcpAccess } from "#router/api/access.js";
import { type Access, createApi, listenApi } from "#router/api/http.js";
import { routesFor } from "#router/api/routes.js";
import { PAGE_HEADERS, refuseOtherSites } from "#router/page/guard.js";
import type { Route, Scope } from "#router/route.js";
import type { Log } from "#src/log.js";
import { hostOf } from "#src/net/host-port.js";
import { controlSocket } from "#src/paths.js";
import type { Problems } from "#src/problems.js";

/** Addresses of the API's listeners; "" for none. */
export interface ApiOptions {
  readonly httpAddr: string;
  /** True: clients over TCP may change everything without a token. */
  readonly insecureHttp: boolean;
  readonly statusAddr: string;
  readonly metricsAddr: string;
  /** May be the status address: one listener then serves both. */
  readonly pageAddr: string;
}

export interface ApiDeps {
  /** Folder of the router's sockets. */
  readonly run: string;
  readonly log: Log;
  readonly problems: Problems;
}

/**
 * The listeners of control API, status, metrics and page, each at its address. The control API also listens at its Unix socket. The
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
  async open({ httpAddr, insecureHttp, statusAddr, metricsAddr, pageAddr }: ApiOptions): Promise<void> {
    const { run, log, problems } = this.#deps;
    const socket = controlSocket(run);
    await this.#open(socket, ["socket"], undefined);
    // Only after the socket: if another router serves it, that router's token must stay valid.
    const token = makeToken(run);
    if (httpAddr !== socket) await this.#open(httpAddr, ["control"], insecureHttp ? undefined : token);
    if (insecureHttp && httpAddr !== "" && !httpAddr.startsWith("/")) {
      const why = `any client that reaches the control API at ${httpAddr} can change everything (--insecure-http); 'weave stop' and a launch without that flag close it.`;
      log.warn(why);
      problems.set("control API", why);
    }
    const shared = pageAddr === statusAddr;
    await this.#open(statusAddr, shared ? ["status", "page"] : ["status"], token);
    await this.#open(metricsAddr, ["metrics"], token);
    if (!shared) await this.#open(pageAddr, ["page"], token);
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

  async #open(address: string, scopes: readonly Scope[], token: string | undefined): Promise<void> {
    if (address === "") return;
    const { run, log } = this.#deps;
    const page = scopes.includes("page");
    let served: readonly Route[] | undefined;
    const routes = () => {
      if (served === undefined && this.#routes !== undefined) {
        const all = this.#routes;
        served = [...new Set(scopes.flatMap((scope) => routesFor(scope, all)))];
      }
      return served;
    };
    const access = page ? pageAccess({ address, token, run }) : accessOf({ address, token, run });
    const server = createApi(routes, log, access);
    // All answers have them, also those to requests that are refused.
    if (page) server.prependListener("request", (_, response) => setHeaders(response, PAGE_HEADERS));
    await listenApi(server, address);
    this.#servers.push(server);
    if (/^(0\.0\.0\.0)?:/.test(address))
      log.warn("the API listens at all addresses of this host; any client that reaches one of them can read it", {
        address,
      });
    else if (page && !isLocal(address))
      log.warn(
        "the page listens at an address that is not of this host alone; any client that reaches it sees the network",
        { address },
      );
  }
}

const accessOf = (options: TcpAccessOptions): Access =>
  options.address.startsWith("/") ? fullAccess : tcpAccess(options);

/**
 * The access to the page: for browsers, and so by the name of the server at a Unix socket, too, to which `ssh -L` may lead.
 */
function pageAccess(options: TcpAccessOptions): Access {
  const { address } = options;
  const access = tcpAccess(address.startsWith("/") ? { ...options, address: "" } : options);
  return (headers, changes) => refuseOtherSites(headers) ?? access(headers, changes);
}

/** Whether only programs of this host reach an address. */
const isLocal = (address: string): boolean =>
  address.startsWith("/") || /^(127(\.\d+){3}|localhost)$/i.test(hostOf(address));

function setHeaders(response: ServerResponse, headers: Readonly<Record<string, string>>): void {
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
}
