import type { IncomingMessage, ServerResponse } from "node:http";

/** Limit for a path in the log, in characters; longer ones are cut. */
const MAX_PATH = 200;

/** One call of the Docker API on its way through the proxy. */
export interface ProxyCall {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

/** Handles a call: forwards it to the engine, and answers it. */
export type CallHandler = (call: ProxyCall) => Promise<void>;

/** Selects the calls that the proxy changes. */
export interface ChangedCalls {
  /** Returns the handler of a call, before its body is read; undefined for a call that passes unchanged. */
  handlerOf(request: IncomingMessage): CallHandler | undefined;
}

/** Text of a call for the log, without its query, which may contain secrets such as build arguments. */
export function callText({ method, url = "" }: Pick<IncomingMessage, "method" | "url">): string {
  return `${method} ${url.split("?")[0].slice(0, MAX_PATH)}`;
}

/** A parameter of a call's query; "" if it is missing. */
export const queryOf = ({ url }: IncomingMessage, name: string): string =>
  new URL(url ?? "/", "http://docker").searchParams.get(name) ?? "";
