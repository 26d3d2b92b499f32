import { request } from "node:http";
import { systemCode, textOf, WeaveError } from "#src/errors.js";
import { Exit } from "./exit.js";

/** As the original's curl: a router that does not answer a connection in this time is not there. */
const CONNECT_MS = 3_000;

export interface Call {
  readonly method?: string;
  readonly path: string;
  readonly form?: URLSearchParams;
  readonly accept?: string;
  /** In place of `WEAVE_HTTP_ADDR`. */
  readonly address?: string;
}

export interface Reply {
  readonly status: number;
  readonly body: string;
}

/** One call of the router's control API. @throws WEAVE_NOT_RUNNING when nothing answers */
export function call({
  method = "GET",
  path,
  form,
  accept,
  address = process.env.WEAVE_HTTP_ADDR || "127.0.0.1:6784",
}: Call): Promise<Reply> {
  const socket = address.startsWith("/");
  const colon = address.lastIndexOf(":");
  const where = socket
    ? { socketPath: address }
    : { host: address.slice(0, colon) || "127.0.0.1", port: Number(address.slice(colon + 1)) };
  const body = form?.toString() ?? "";
  const headers = {
    ...(accept ? { Accept: accept } : {}),
    ...(form ? { "Content-Type": "application/x-www-form-urlencoded", "Content-Length": Buffer.byteLength(body) } : {}),
  };
  return new Promise((resolve, reject) => {
    const outgoing = request({ ...where, method, path, headers, agent: false }, (incoming) => {
      clearTimeout(timer);
      const chunks: Buffer[] = [];
      incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
      incoming.on("end", () =>
        resolve({ status: incoming.statusCode ?? 0, body: Buffer.concat(chunks).toString("utf8") }),
      );
      incoming.on("error", reject);
    });
    const timer = setTimeout(() => outgoing.destroy(new Error(`no answer from ${address}`)), CONNECT_MS);
    outgoing.on("socket", (tcp) => tcp.once("connect", () => clearTimeout(timer)));
    outgoing.on("error", (cause) => {
      clearTimeout(timer);
      const gone = ["ECONNREFUSED", "ENOENT"].includes(systemCode(cause) ?? "");
      const why = gone
        ? "weave is not running. Have you launched it?"
        : `cannot reach the weave router: ${textOf(cause)}`;
      reject(new WeaveError("WEAVE_NOT_RUNNING", why, { cause }));
    });
    outgoing.end(body);
  });
}

/** As {@link call}; any answer but a good one ends the command as in the original: 404 with status 4, others with 1. */
export async function mustCall(options: Call): Promise<string> {
  const { status, body } = await call(options);
  if (status >= 200 && status < 300) return body;
  if (status === 404) throw new Exit(4);
  throw new Exit(1, body.trimEnd());
}
