import { accessSync, constants, existsSync, readFileSync } from "node:fs";
import { request } from "node:http";
import { Exit } from "#cli/support/exit.js";
import { launched } from "#cli/support/launched.js";
import { lastFailure, running } from "#cli/support/processes.js";
import { errorText, systemCode, WeaveError } from "#src/errors.js";
import { hostOf, portOf } from "#src/net/host-port.js";
import { controlSocket, paths, routerFile, tokenFile } from "#src/paths.js";

/** As the original's curl: a router that does not answer a connection in this time is not there. */
const CONNECT_MS = 3_000;
/** A report of a large mesh on a busy machine takes seconds; a router that needs more than this hangs. */
export const REPORT_MS = 15_000;

export interface Call {
  readonly method?: string;
  readonly path: string;
  readonly form?: URLSearchParams;
  readonly accept?: string;
  /** In place of `WEAVE_HTTP_ADDR`. */
  readonly address?: string;
  /** What is not answered in this time never is; undefined for what may have to wait. */
  readonly answerMs?: number;
}

export interface Reply {
  readonly status: number;
  readonly body: string;
}

/**
 * One call of the router's control API: at `WEAVE_HTTP_ADDR` if it is set, else at the Unix socket, where everything is
 * allowed, or for those who may not open it at the usual TCP port.
 *
 * @throws WEAVE_NOT_RUNNING when nothing answers
 */
export async function call(options: Call): Promise<Reply> {
  const { run } = paths();
  const { address = process.env.WEAVE_HTTP_ADDR } = options;
  if (address) return callAt(address === launched().httpAddr ? controlSocket(run) : address, options);
  return isReadable(controlSocket(run)) ? callAt(controlSocket(run), options) : callAt("127.0.0.1:6784", options);
}

function callAt(address: string, { method = "GET", path, form, accept, answerMs }: Call): Promise<Reply> {
  const socket = address.startsWith("/");
  const host = hostOf(address) || "127.0.0.1";
  const where = socket ? { socketPath: address } : { host, port: portOf(address) };
  // The token is for this host's router alone.
  const token = !socket && /^(127\.[\d.]+|localhost)$/.test(host) ? tokenOf(paths().run) : undefined;
  const body = form?.toString() ?? "";
  const headers = {
    ...(token === undefined ? {} : { Authorization: `Bearer ${token}` }),
    ...(accept ? { Accept: accept } : {}),
    ...(form ? { "Content-Type": "application/x-www-form-urlencoded", "Content-Length": Buffer.byteLength(body) } : {}),
  };
  return new Promise((resolve, reject) => {
    const outgoing = request({ ...where, method, path, headers, agent: false }, (incoming) => {
      if (answerMs === undefined) clearTimeout(timer);
      const chunks: Buffer[] = [];
      incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
      incoming.on("end", () => {
        clearTimeout(timer);
        resolve({ status: incoming.statusCode ?? 0, body: Buffer.concat(chunks).toString("utf8") });
      });
      incoming.on("error", reject);
    });
    const timer = setTimeout(() => outgoing.destroy(new Error(`no answer from ${address}`)), answerMs ?? CONNECT_MS);
    if (answerMs === undefined) outgoing.on("socket", (tcp) => tcp.once("connect", () => clearTimeout(timer)));
    outgoing.on("error", (cause) => {
      clearTimeout(timer);
      reject(notAnswered(address, cause));
    });
    outgoing.end(body);
  });
}

/** What is true of the router that did not answer: it is not there, it starts, it is between two starts, or it hangs. */
function notAnswered(address: string, cause: Error): WeaveError {
  const { supervisor, router } = running();
  const { run, log } = paths();
  const error = (message: string, next?: string) =>
    new WeaveError("WEAVE_NOT_RUNNING", message, { cause, ...(next === undefined ? {} : { next }) });
  const gone = ["ECONNREFUSED", "ENOENT"].includes(systemCode(cause) ?? "");
  if (router !== undefined) {
    return gone
      ? error(
          `the weave router runs (process ${router}), but nothing listens at ${address}`,
          "Set WEAVE_HTTP_ADDR to the --http-addr that it was launched with.",
        )
      : error(
          `the weave router runs (process ${router}), but does not answer: ${errorText(cause)}`,
          `Its log is ${log}; 'weave stop' ends it.`,
        );
  }
  if (supervisor === undefined)
    return error(
      gone ? "weave is not running. Have you launched it?" : `cannot reach the weave router: ${errorText(cause)}`,
    );
  const why = lastFailure();
  if (why === undefined && !existsSync(routerFile(run))) return error("weave is starting");
  return error(
    `the weave router has ended${why === undefined ? "" : `: ${why}`}`,
    `It is started again after a while; its log is ${log}; 'weave stop' ends the attempts.`,
  );
}

function isReadable(path: string): boolean {
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/** Undefined for those who may not read it. */
function tokenOf(run: string): string | undefined {
  try {
    return readFileSync(tokenFile(run), "utf8").trim();
  } catch {
    return undefined;
  }
}

/** As {@link call}; any answer but a good one ends the command as in the original: 404 with status 4, others with 1. */
export async function mustCall(options: Call): Promise<string> {
  const { status, body } = await call(options);
  if (status >= 200 && status < 300) return body;
  if (status === 404) throw new Exit(4);
  throw new Exit(1, body.trimEnd());
}
