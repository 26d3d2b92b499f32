import { type Agent, type IncomingHttpHeaders, type IncomingMessage, type RequestOptions, request } from "node:http";
import { readBody } from "#src/http/body.js";
import type { ServerAddress } from "#src/http/listen.js";

/** Default limit of a reply: larger than the engine's list of 10,000 containers with all their labels. */
const MAX_REPLY = 64 << 20;

/** A request, with its destination and limits. */
export interface HttpCall {
  /** The server, or an agent that opens the connection. */
  readonly to: ServerAddress | { readonly agent: Agent };
  /** GET if left out. */
  readonly method?: string;
  /** Path and query. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
  /** Limit for opening the connection, in ms; undefined or 0 for no limit. */
  readonly connectMs?: number;
  /** Limit for the whole answer, in ms; undefined or 0 for no limit. */
  readonly answerMs?: number;
  readonly signal?: AbortSignal;
}

/** A whole answer. */
export interface HttpReply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

/**
 * Sends a request and reads the whole answer. An error status is no error.
 *
 * @param max limit of the answer's body, in bytes
 * @throws what {@link openReply} throws; WEAVE_MESSAGE_TOO_LARGE
 */
export async function fetchReply(call: HttpCall, max = MAX_REPLY): Promise<HttpReply> {
  const incoming = await openReply(call);
  try {
    const body = await readBody(incoming, max);
    return { status: incoming.statusCode ?? 0, headers: incoming.headers, body };
  } catch (error) {
    incoming.destroy();
    throw error;
  }
}

/**
 * Sends a request, and resolves with the head of the answer. The caller must read the body, or destroy the answer.
 * {@link HttpCall.answerMs} and {@link HttpCall.signal} apply until the end of the body.
 *
 * @throws Error: a system error with its code, an AbortError, or `no answer within …`
 */
export function openReply(call: HttpCall): Promise<IncomingMessage> {
  const { to, method = "GET", path, headers, body, connectMs = 0, answerMs = 0, signal } = call;
  const options: RequestOptions = {
    method,
    path,
    headers: { ...headers, ...(body === undefined ? {} : { "Content-Length": Buffer.byteLength(body) }) },
    ...("agent" in to ? to : { agent: false as const, ...("path" in to ? { socketPath: to.path } : to) }),
    ...(signal === undefined ? {} : { signal }),
  };
  return new Promise((resolve, reject) => {
    let incoming: IncomingMessage | undefined;
    const outgoing = request(options, (response) => {
      incoming = response;
      response.once("close", () => stopAnswer());
      resolve(response);
    });
    const giveUp = (ms: number) => {
      const error = new Error(`no answer within ${ms / 1_000} s`);
      if (incoming === undefined) outgoing.destroy(error);
      else incoming.destroy(error);
    };
    const stopAnswer = limit(answerMs, giveUp);
    const stopConnect = limit(connectMs, giveUp);
    outgoing.on("socket", (socket) => {
      if (socket.connecting) socket.once("connect", stopConnect);
      else stopConnect();
    });
    outgoing.on("error", (error) => {
      stopConnect();
      stopAnswer();
      reject(error);
    });
    outgoing.end(body);
  });
}

/** Calls `then` after `ms`; never for 0. @returns a function that cancels the call */
function limit(ms: number, then: (ms: number) => void): () => void {
  const timer = ms > 0 ? setTimeout(then, ms, ms) : undefined;
  return () => clearTimeout(timer);
}
