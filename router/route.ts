import type { Answer } from "#src/http/answer.js";

export type { Answer };

/** One request of the HTTP API, as a route sees it. @typeParam Name the names in the route's path */
export interface Request<Name extends string = string> {
  readonly method: string;
  readonly path: string;
  /** The segments of the path that the route names, decoded. */
  readonly params: Readonly<Record<Name, string>>;
  /** Query and form body together. */
  readonly form: URLSearchParams;
  readonly accept: string;
  /** Aborted when the client has gone: no result is needed any more. */
  readonly signal: AbortSignal;
}

/**
 * Listeners at which a route is served: `metrics` at all of them, `status` at those for status and for control, `control` at
 * the one for control alone.
 */
export type Scope = "metrics" | "status" | "control";

export interface Route {
  readonly method: string;
  /** Groups are the named segments, in the order of {@link names}. */
  readonly pattern: RegExp;
  readonly names: readonly string[];
  readonly scope: Scope;
  /** Whether it changes anything: refused to those who may only read. */
  readonly changes: boolean;
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
 * A route of the control API.
 *
 * @param call method and path, `DELETE /ip/:ident`; a segment with a colon matches any segment that is not empty
 * @param options.changes default: every method but GET changes something
 */
export function route<Path extends string>(
  call: `${string} ${Path}`,
  handle: Handler<Names<Path>>,
  options: { readonly scope?: Scope; readonly changes?: boolean } = {},
): Route {
  const [method, path] = call.split(" ");
  const segments = path.split("/");
  const pattern = segments.map((segment) => (segment.startsWith(":") ? "([^/]+)" : escaped(segment)));
  return {
    method,
    pattern: new RegExp(`^${pattern.join("/")}$`),
    names: segments.filter((segment) => segment.startsWith(":")).map((segment) => segment.slice(1)),
    scope: options.scope ?? "control",
    changes: options.changes ?? method !== "GET",
    handle: handle as Handler<string>,
  };
}

/** A GET that changes nothing, for any client that reaches the status port. */
export const statusRoute = <Path extends string>(path: Path, handle: Handler<Names<Path>>): Route =>
  route(`GET ${path}`, handle as Handler<string>, { scope: "status" });

const escaped = (text: string): string => text.replace(/[^\w-]/g, "\\$&");

/** Plain text, one line for each. */
export const linesAnswer = (lines: readonly string[]): Answer => ({ body: lines.map((line) => `${line}\n`).join("") });

export const NO_CONTENT: Answer = { status: 204 };
