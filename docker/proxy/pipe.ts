import { request as httpRequest, type IncomingMessage, type RequestOptions, type ServerResponse } from "node:http";
import { request as httpsRequest } from "node:https";
import { connect, type Socket } from "node:net";
import { connect as tlsConnect } from "node:tls";
import type { Endpoint } from "#docker/engine/endpoint.js";
import { connectionTo, isSecure, unreachable } from "#docker/engine/engine.js";
import { systemCode } from "#src/errors.js";

/** Headers that are about one connection, not about what it carries (RFC 9110, 7.6.1). */
const HOP_BY_HOP = ["connection", "keep-alive", "proxy-connection"];

/** Any name will do on a Unix socket. */
const HOST = "docker";
const PATH_AS_HOST = /^(host: *)\S*\/\S*$/im;

export interface Forward {
  readonly endpoint: Endpoint;
  readonly request: IncomingMessage;
  /** In place of the request's own body. */
  readonly body?: Buffer | undefined;
}

/** Sends a request on to the engine, and resolves with the head of its answer. The body follows as it comes. */
export function sendOn({ endpoint, request, body }: Forward): Promise<IncomingMessage> {
  const drop = body === undefined ? HOP_BY_HOP : [...HOP_BY_HOP, "content-length", "transfer-encoding"];
  const headers = withSoundHost(withoutHeaders(request.rawHeaders, drop));
  if (body !== undefined) headers.push("Content-Length", String(body.length));
  const options: RequestOptions = {
    ...connectionTo(endpoint),
    method: request.method,
    path: request.url,
    headers: headers as unknown as NonNullable<RequestOptions["headers"]>,
    agent: false,
    setHost: false,
  };
  return new Promise((resolve, reject) => {
    const outgoing = (isSecure(endpoint) ? httpsRequest : httpRequest)(options);
    let answered = false;
    outgoing.on("response", (response) => {
      answered = true;
      resolve(response);
    });
    outgoing.on("error", (cause) => {
      // An engine that has answered may close before it has read all that it was sent.
      if (!answered) reject(unreachable(endpoint, cause));
    });
    if (body !== undefined) outgoing.end(body);
    else request.pipe(outgoing);
    // Who has gone away does not want the answer; the engine must learn that, as for `docker logs -f`.
    const gone = () => outgoing.destroy();
    request.socket.once("close", gone);
    outgoing.once("close", () => request.socket.off("close", gone));
  });
}

/** Gives the engine's answer to the client as it comes, byte for byte. */
export function answerWith(incoming: IncomingMessage, response: ServerResponse, body?: Buffer): void {
  const drop = body === undefined ? HOP_BY_HOP : [...HOP_BY_HOP, "content-length", "transfer-encoding"];
  const headers = withoutHeaders(incoming.rawHeaders, drop);
  response.sendDate = false;
  if (body !== undefined) headers.push("Content-Length", String(body.length));
  response.writeHead(incoming.statusCode ?? 502, incoming.statusMessage ?? "", headers);
  if (body !== undefined) {
    response.end(body);
    return;
  }
  response.flushHeaders();
  incoming.pipe(response);
  // An answer that breaks off must not look as if it were whole.
  incoming.once("aborted", () => response.destroy());
  incoming.on("error", () => response.destroy());
}

/**
 * From here on client and engine talk as if nobody were between them, both ways, each end closing when it likes.
 *
 * @param head what the client has sent already
 */
export function joinRaw(client: Socket, endpoint: Endpoint, head: Buffer): void {
  const options = { ...connectionTo(endpoint), allowHalfOpen: true };
  const where = "socketPath" in endpoint ? { path: endpoint.socketPath } : {};
  const engine: Socket = isSecure(endpoint) ? tlsConnect(options as never) : connect({ ...options, ...where } as never);
  const ready = isSecure(endpoint) ? "secureConnect" : "connect";
  client.on("error", () => engine.destroy());
  engine.once("error", (cause) => {
    // Nothing was said yet: the client is owed an answer in its own language.
    if (engine.bytesRead === 0 && ["ECONNREFUSED", "ENOENT"].includes(systemCode(cause) ?? ""))
      client.end(rawAnswer(502, unreachable(endpoint, cause).text));
    else client.destroy();
  });
  engine.once(ready, () => {
    engine.write(soundHead(head));
    client.pipe(engine);
    engine.pipe(client);
    for (const socket of [client, engine]) socket.setNoDelay(true);
  });
  client.once("close", () => engine.destroySoon());
  engine.once("close", (failed) => (failed ? client.destroy() : client.end()));
}

export function rawAnswer(status: number, text: string): string {
  const body = `${JSON.stringify({ message: text })}\n`;
  return `HTTP/1.1 ${status} weave\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
}

/** As Docker gives its errors. */
export function answerError(response: ServerResponse, status: number, text: string): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const body = `${JSON.stringify({ message: text })}\n`;
  response.writeHead(status, { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(body) });
  response.end(body);
}

function soundHead(seen: Buffer): Buffer {
  const end = seen.indexOf("\r\n\r\n");
  if (end === -1) return seen;
  const head = seen.subarray(0, end).toString("latin1").replace(PATH_AS_HOST, `$1${HOST}`);
  return Buffer.concat([Buffer.from(head, "latin1"), seen.subarray(end)]);
}

/** Old clients give the path of Docker's socket as their host, which today's engines refuse. */
function withSoundHost(raw: readonly string[]): string[] {
  return raw.map((text, i) => (i % 2 === 1 && raw[i - 1].toLowerCase() === "host" && text.includes("/") ? HOST : text));
}

function withoutHeaders(raw: readonly string[], names: readonly string[]): string[] {
  const kept: string[] = [];
  for (let i = 0; i < raw.length; i += 2) if (!names.includes(raw[i].toLowerCase())) kept.push(raw[i], raw[i + 1]);
  return kept;
}
