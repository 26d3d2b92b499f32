import type { IncomingMessage, ServerResponse } from "node:http";

/** Paths beyond this are cut in the log. */
const MAX_PATH = 200;

/** One call of the Docker API on its way through the proxy. */
export interface ProxyCall {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

/** Handles a call: sends it on to the engine, and answers it. */
export type CallHandler = (call: ProxyCall) => Promise<void>;

/** The calls that are changed on their way. */
export interface ChangedCalls {
  /** @returns undefined for a call that passes unchanged; nothing of it has been read */
  handlerOf(request: IncomingMessage): CallHandler | undefined;
}

/** A call for the log, without its query: that may hold secrets, such as build arguments. */
export function callText({ method, url = "" }: Pick<IncomingMessage, "method" | "url">): string {
  return `${method} ${url.split("?")[0].slice(0, MAX_PATH)}`;
}

/** A parameter of a call's query; "" if it is absent. */
export const queryOf = ({ url }: IncomingMessage, name: string): string =>
  new URL(url ?? "/", "http://docker").searchParams.get(name) ?? "";
