import type { Answer } from "#src/http/answer.js";

export type { Answer };

/** One request of the HTTP API, as a route sees it. @typeParam Name the names in the route's path */
export interface Request<Name extends string = string> {
  readonly method: string;
  readonly path: string;
  /** The named segments of the path, decoded. */
  readonly params: Readonly<Record<Name, string>>;
  /** Parameters of the query and of the form body. */
  readonly form: URLSearchParams;
  /** The body of a route with {@link Route.rawBody}; empty for any other route. */
  readonly body: Buffer;
  readonly accept: string;
  /** The header `Last-Event-ID` of a client that follows a stream again; "" without it. */
  readonly lastEventId: string;
  /** Whether the client came by a Unix socket, which root alone can open. */
  readonly bySocket: boolean;
  /** Aborted when the client has disconnected. */
  readonly signal: AbortSignal;
}

/**
 * Determines which listeners serve a route: `metrics` all listeners but that of the page, `status` the status and control listeners,
 * `control` only the control listeners, `socket` only the Unix socket of the run folder, `page` only the listener of the page.
 */
export type Scope = "metrics" | "status" | "control" | "socket" | "page";

export interface Route {
  /** Method and path as declared: `DELETE /ip/:ident`. */
  readonly call: string;
  readonly method: string;
  /** Matches the path. Its groups are the named segments, in the order of {@link names}. */
  readonly pattern: RegExp;
  readonly names: readonly string[];
  readonly scope: Scope;
  /** True: the route changes something, and clients with read-only access are refused. */
  readonly changes: boolean;
  /** Maximum bytes of a body that is no form, but is passed to the route; undefined: the body is a form. */
  readonly rawBody: number | undefined;
  handle(request: Request): Answer | Promise<Answer>;
}

/** Names in a path: `"ident" | "ip"` of `/ip/:ident/:ip`. */
export type Names<Path extends string> = Path extends `${infer Segment}/${infer Rest}`
  ? Names<Segment> | Names<Rest>
  : Path extends `:${infer Name}`
    ? Name
    : never;

export type Handler<Name extends string> = (request: Request<Name>) => Answer | Promise<Answer>;

/**
 * Makes a route of the control API.
 *
 * @param call method and path, such as `DELETE /ip/:ident`; a segment with a colon matches any segment that is not empty
 * @param options.changes default: every method but GET changes something
 */
export function route<Path extends string>(
  call: `${string} ${Path}`,
  handle: Handler<Names<Path>>,
  options: { readonly scope?: Scope; readonly changes?: boolean; readonly rawBody?: number } = {},
): Route {
  const [method, path] = call.split(" ");
  const segments = path.split("/");
  const pattern = segments.map((segment) => (segment.startsWith(":") ? "([^/]+)" : escaped(segment)));
  return {
    call,
    method,
    pattern: new RegExp(`^${pattern.join("/")}$`),
    names: segments.filter((segment) => segment.startsWith(":")).map((segment) => segment.slice(1)),
    scope: options.scope ?? "control",
    changes: options.changes ?? method !== "GET",
    rawBody: options.rawBody,
    handle: handle as Handler<string>,
  };
}

/** Makes a GET route that changes nothing, for every client of the status port. */
export const statusRoute = <Path extends string>(path: Path, handle: Handler<Names<Path>>): Route =>
  route(`GET ${path}`, handle as Handler<string>, { scope: "status" });

const escaped = (text: string): string => text.replace(/[^\w-]/g, "\\$&");

/** An answer in plain text, with a line break after each of `lines`. */
export const linesAnswer = (lines: readonly string[]): Answer => ({ body: lines.map((line) => `${line}\n`).join("") });

export const NO_CONTENT: Answer = { status: 204 };
