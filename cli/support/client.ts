import { accessSync, constants, existsSync, readFileSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { Exit } from "#cli/support/exit.js";
import { launchOptions } from "#cli/support/launched.js";
import { lastFailure, runningProcesses } from "#cli/support/processes.js";
import { asSentence, supervised } from "#cli/support/supervised.js";
import { ERRORS, type ErrorCode, errorText, systemCode, WeaveError } from "#src/errors.js";
import { type ErrorBody, JSON_TYPE } from "#src/http/answer.js";
import { readBody } from "#src/http/body.js";
import { fetchReply, type HttpCall, openReply } from "#src/http/client.js";
import type { ServerAddress } from "#src/http/listen.js";
import { hostOf, portOf } from "#src/net/host-port.js";
import { controlSocket, paths, routerFile, tokenFile } from "#src/paths.js";
import { requireRoot } from "#src/root.js";

/** Limit for a connection. A router that does not accept one in this time does not run. Same as Weave Net's curl. */
const CONNECT_MS = 3_000;
/** Limit for a report, which takes seconds for a large mesh on a busy machine. A router that takes longer hangs. */
export const REPORT_MS = 15_000;
/** Longest text of an error in place of an answer without an end. */
const MAX_ERROR_BYTES = 64 << 10;
/** Address of the router's API for users that may not open its Unix socket. */
const PUBLIC_ADDRESS = "127.0.0.1:6784";

export interface ApiCall {
  readonly method?: string;
  readonly path: string;
  readonly form?: URLSearchParams;
  readonly accept?: string;
  /** Replaces `WEAVE_HTTP_ADDR`. */
  readonly address?: string;
  /** Limit for the whole answer in ms; undefined for a call that may have to wait. */
  readonly answerMs?: number;
}

export interface ApiReply {
  readonly status: number;
  readonly body: string;
}

/**
 * Calls the router's control API: at `WEAVE_HTTP_ADDR` if it is set, otherwise at its Unix socket, which permits all calls. Users that may
 * not open the socket use the default TCP port.
 *
 * @throws WEAVE_NOT_RUNNING when nothing answers
 */
export async function call(options: ApiCall): Promise<ApiReply> {
  const address = addressFor(options);
  return answeredBy(address, async () => {
    const { request, token } = requestTo(address, options);
    const { status, body } = await fetchReply(request);
    // The router's own answer explains tokens, for programs. A user of this command needs root.
    if (status === 403 && token === undefined && address === PUBLIC_ADDRESS) requireRoot();
    return { status, body: body.toString("utf8") };
  });
}

/**
 * As {@link call}, for an answer without an end, whose body the caller reads or destroys.
 *
 * @throws WEAVE_NOT_RUNNING when nothing answers; Exit for an answer that is no good one
 */
export async function openCall(options: ApiCall): Promise<IncomingMessage> {
  const address = addressFor(options);
  const incoming = await answeredBy(address, () => openReply(requestTo(address, options).request));
  if (isGood(incoming.statusCode ?? 0)) return incoming;
  throw new Exit(1, (await readBody(incoming, MAX_ERROR_BYTES)).toString("utf8").trimEnd());
}

function addressFor({ address = process.env.WEAVE_HTTP_ADDR }: ApiCall): string {
  const socket = controlSocket(paths().run);
  if (address) return address === launchOptions().httpAddr ? socket : address;
  return isAccessible(socket) ? socket : PUBLIC_ADDRESS;
}

function requestTo(address: string, { method, path, form, accept, answerMs }: ApiCall) {
  const to = addressOf(address);
  // The token is sent only to this host's router.
  const token = "host" in to && /^(127\.[\d.]+|localhost)$/.test(to.host) ? tokenOf(paths().run) : undefined;
  const headers = {
    ...(token === undefined ? {} : { Authorization: `Bearer ${token}` }),
    ...(accept ? { Accept: accept } : {}),
    ...(form ? { "Content-Type": "application/x-www-form-urlencoded" } : {}),
  };
  const limits = answerMs === undefined ? { connectMs: CONNECT_MS } : { answerMs };
  return { token, request: { to, method, path, headers, body: form?.toString(), ...limits } satisfies HttpCall };
}

/** Runs a call. @throws WEAVE_NOT_RUNNING in place of the error of a system call */
async function answeredBy<T>(address: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    if (error instanceof WeaveError) throw error;
    throw await notAnswered(address, error as Error);
  }
}

/** Parses `[host]:port` or a path. checkEnvironment has checked the text. */
function addressOf(address: string): ServerAddress {
  if (address.startsWith("/")) return { path: address };
  return { host: hostOf(address) || "127.0.0.1", port: portOf(address) };
}

/** Error for a router that did not answer: it does not run, is starting, waits for its restart, or hangs. */
async function notAnswered(address: string, cause: Error): Promise<WeaveError> {
  const { router } = runningProcesses();
  const { kind, logHint, isOn } = supervised();
  const error = (message: string, next?: string) => new WeaveError("WEAVE_NOT_RUNNING", message, { cause, next });
  const gone = ["ECONNREFUSED", "ENOENT"].includes(systemCode(cause) ?? "");
  if (router !== undefined) {
    return gone
      ? error(
          `the weave router runs (process ${router}), but nothing listens at ${address}`,
          "Set WEAVE_HTTP_ADDR to the --http-addr that it was launched with.",
        )
      : error(
          `the weave router runs (process ${router}), but does not answer: ${errorText(cause)}`,
          `${asSentence(logHint).slice(0, -1)}; 'weave stop' ends it.`,
        );
  }
  const why = lastFailure();
  if (!(await isOn())) {
    // The failure of a start at boot may be unseen; that of `weave launch` was printed.
    if (gone && kind !== "process" && why !== undefined)
      return error(`weave is not running: ${why}`, `'weave launch' starts it; ${logHint}.`);
    return error(
      gone ? "weave is not running. Have you launched it?" : `cannot reach the weave router: ${errorText(cause)}`,
    );
  }
  if (why === undefined && !existsSync(routerFile(paths().run))) return error("weave is starting");
  return error(
    `the weave router has ended${why === undefined ? "" : `: ${why}`}`,
    `It is restarted after a delay; ${logHint}; 'weave stop' ends the attempts.`,
  );
}

function isAccessible(path: string): boolean {
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/** Reads the token for changes by TCP; undefined for users that may not read it. */
function tokenOf(run: string): string | undefined {
  try {
    return readFileSync(tokenFile(run), "utf8").trim();
  } catch {
    return undefined;
  }
}

/**
 * Calls the API; returns the body of a good answer.
 *
 * @param options.accept by default JSON, in which an error has its code; the bodies of good answers are text all the same, except reports
 * @throws Exit as Weave Net: with status 4 after 404, with 1 after other errors
 */
export async function mustCall(options: ApiCall): Promise<string> {
  const { status, body } = await call({ accept: JSON_TYPE, ...options });
  if (isGood(status)) return body;
  if (status === 404) throw new Exit(4);
  const { code, message, next } = errorIn(body);
  throw new Exit(1, message === undefined ? body.trimEnd() : [message, ...(next ? [next] : [])].join("\n"), code);
}

/** The error in a body; nothing for one in plain text, which precedes the routes: "weave is starting", "read-only over TCP". */
function errorIn(body: string): Partial<Omit<ErrorBody, "code">> & { code?: ErrorCode; warnings?: readonly string[] } {
  try {
    const { code, ...rest } = JSON.parse(body) as ErrorBody;
    return { ...rest, code: Object.hasOwn(ERRORS, code) ? (code as ErrorCode) : "WEAVE_API" };
  } catch {
    return {};
  }
}

/**
 * Calls the API for an answer in JSON. Prints warnings of an error on standard error.
 *
 * @param request sends the call; {@link call} by default
 * @throws WeaveError that the router reported; Exit for an error in plain text
 */
export async function callJson<T>(
  options: ApiCall,
  request: (options: ApiCall) => Promise<ApiReply> = call,
): Promise<T> {
  const { status, body } = await request({ ...options, accept: JSON_TYPE });
  if (isGood(status)) return JSON.parse(body) as T;
  throw errorOf(body);
}

/** The error of a body; its warnings go to standard error. */
function errorOf(body: string): WeaveError | Exit {
  const { code, message = body, next, warnings = [] } = errorIn(body);
  if (code === undefined) return new Exit(1, body.trimEnd());
  for (const warning of warnings) process.stderr.write(`${warning}\n`);
  return new WeaveError(code, message, { next });
}

/** Maximum bytes of the body of an error. */
const MAX_ERROR = 64 << 10;

/**
 * Calls the API at the Unix socket for an answer that goes on while it is read. The caller must read it, or destroy it.
 *
 * @throws WeaveError that the router reported; WEAVE_NOT_RUNNING
 */
export async function openStream(path: string, form: URLSearchParams): Promise<IncomingMessage> {
  const address = controlSocket(paths().run);
  const headers = { Accept: JSON_TYPE, "Content-Type": "application/x-www-form-urlencoded" };
  try {
    const to = { path: address };
    const answer = await openReply({ to, method: "POST", path, headers, body: form.toString(), connectMs: CONNECT_MS });
    if (isGood(answer.statusCode ?? 0)) return answer;
    throw errorOf((await readBody(answer, MAX_ERROR)).toString("utf8"));
  } catch (error) {
    if (error instanceof WeaveError || error instanceof Exit) throw error;
    throw await notAnswered(address, error as Error);
  }
}

const isGood = (status: number): boolean => status >= 200 && status < 300;
