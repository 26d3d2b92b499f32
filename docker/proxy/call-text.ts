import type { IncomingMessage } from "node:http";

const MAX_PATH = 200;

/** A call of the Docker API for the log: without its query, which may hold secrets, as build arguments are. */
export function callText({ method, url = "" }: Pick<IncomingMessage, "method" | "url">): string {
  return `${method} ${url.split("?")[0].slice(0, MAX_PATH)}`;
}
