import { request as httpRequest, type IncomingMessage, type RequestOptions, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { EngineAgent, openConnection } from "#docker/engine/connection.js";
import { engineUnreachable } from "#docker/engine/engine.js";
import type { EngineAddress } from "#docker/engine/engine-address.js";
import { JSON_TYPE, sendAnswer } from "#src/http/answer.js";

/** Headers that belong to one connection, not to the message (RFC 9110, 7.6.1). */
const HOP_BY_HOP = ["connection", "keep-alive", "proxy-connection"];
/** Headers about the length of a body. */
const LENGTHS = ["content-length", "transfer-encoding"];
/** Methods of requests with a body, which may be empty. */
const WITH_BODY = ["POST", "PUT", "PATCH"];
/** Methods that change nothing: such a call may be sent twice (RFC 9110, 9.2.1). */
const SAFE = ["GET", "HEAD", "OPTIONS"];
/** Limit for the head of a message, in bytes. Heads are long because credentials for a registry are a header. */
export const MAX_HEAD = 1 << 20;

/** Host header for the engine. On a Unix socket any name is valid. */
const HOST = "docker";
const PATH_AS_HOST = /^(host: *)\S*\/\S*$/i;
const CONNECTION = /^connection: */i;

/** Agents by client connection. Each client connection has one connection to the engine with the same lifetime, as the engine keeps state for a connection. */
const agents = new WeakMap<Socket, EngineAgent>();

/** A request, and where to forward it. */
export interface ForwardedRequest {
  readonly address: EngineAddress;
  readonly request: IncomingMessage;
  /** JSON in place of the request's own body. */
  readonly body?: Buffer | undefined;
}

/**
 * Forwards a request to the engine. Resolves with the head of the answer, which may arrive before the request's body is complete. The
 * caller must read the answer's body, or destroy the answer.
 *
 * @throws WEAVE_DOCKER_UNAVAILABLE when there is no answer
 */
export async function forwardRequest(forward: ForwardedRequest): Promise<IncomingMessage> {
  const agent = agentOf(forward.request.socket, forward.address);
  const first = attempt(forward, agent);
  try {
    return await first.answer;
  } catch (error) {
    // The engine may have closed an idle connection while this call was in flight, or may have executed the call: only a call that changes
    // nothing is repeated.
    if (!first.repeatable()) throw error;
    return attempt(forward, agent).answer;
  }
}

function attempt(
  { address, request, body }: ForwardedRequest,
  agent: EngineAgent,
): { answer: Promise<IncomingMessage>; repeatable: () => boolean } {
  const headers = withValidHost(withoutHeaders(request.rawHeaders, [...HOP_BY_HOP, ...(body ? LENGTHS : [])]));
  const { "content-length": length, "transfer-encoding": encoding } = request.headers;
  const empty = body === undefined && length === undefined && encoding === undefined;
  if (body !== undefined) headers.push("Content-Length", String(body.length));
  if (body?.length && request.headers["content-type"] === undefined) headers.push("Content-Type", "application/json");
  // Node would send an empty body in chunks, which the engine treats as a body of unknown length.
  if (empty && WITH_BODY.includes(request.method ?? "")) headers.push("Content-Length", "0");
  const options: RequestOptions = {
    method: request.method,
    path: request.url,
    headers: headers as unknown as NonNullable<RequestOptions["headers"]>,
    agent,
    setHost: false,
    maxHeaderSize: MAX_HEAD,
  };
  const outgoing = httpRequest(options);
  const answer = new Promise<IncomingMessage>((resolve, reject) => {
    outgoing.on("response", resolve);
    // After the answer's head this has no effect: the answer itself reports how it ended.
    outgoing.on("error", (cause) => reject(engineUnreachable(address, cause)));
    if (body !== undefined || empty) outgoing.end(body);
    else request.pipe(outgoing);
    // An engine that has answered may no longer read. The rest of the client's body is discarded, so that it does not block the connection.
    outgoing.once("close", () => {
      request.unpipe(outgoing);
      request.resume();
    });
    // If the client has closed the connection, the engine must see the end, as for `docker logs -f`. If the client has only ended its own
    // side, it may wait for the answer: the engine sees the end of that side, and decides.
    const client = request.socket;
    const onClose = () => outgoing.destroy();
    const onEnd = () => {
      if (outgoing.writableFinished) outgoing.socket?.end();
      else outgoing.once("finish", () => outgoing.socket?.end());
    };
    client.once("close", onClose);
    if (client.readableEnded) onEnd();
    else client.once("end", onEnd);
    outgoing.once("close", () => client.off("close", onClose).off("end", onEnd));
  });
  return { answer, repeatable: () => empty && outgoing.reusedSocket && SAFE.includes(request.method ?? "") };
}

function agentOf(client: Socket, address: EngineAddress): EngineAgent {
  const known = agents.get(client);
  if (known !== undefined) return known;
  const agent = new EngineAgent(address, { keepAlive: true });
  agents.set(client, agent);
  // The client may have closed the connection before its call was forwarded.
  if (client.destroyed) agent.close();
  else client.once("close", () => agent.close());
  return agent;
}

/** Forwards the engine's answer to the client as it arrives, byte for byte. @param body replaces the answer's own */
export function forwardAnswer(incoming: IncomingMessage, response: ServerResponse, body?: Buffer): void {
  const headers = withoutHeaders(incoming.rawHeaders, [...HOP_BY_HOP, ...(body ? LENGTHS : [])]);
  response.sendDate = false;
  if (body !== undefined) headers.push("Content-Length", String(body.length));
  response.writeHead(incoming.statusCode ?? 502, incoming.statusMessage ?? "", headers);
  if (body !== undefined) {
    response.end(body);
    return;
  }
  response.flushHeaders();
  incoming.pipe(response);
  // An answer that breaks off must not look complete.
  incoming.once("aborted", () => response.destroy());
  incoming.on("error", () => response.destroy());
}

/**
 * Connects a client's socket with the engine. Bytes pass in both directions unchanged, except the head of the request ({@link
 * headWithClose}). Each end may close its side at any time.
 *
 * @param head bytes that the client has already sent
 */
export async function joinRaw(client: Socket, address: EngineAddress, head: Buffer): Promise<void> {
  let engine: Socket | undefined;
  client.on("error", () => engine?.destroy());
  client.once("close", () => engine?.destroySoon());
  try {
    engine = await openConnection(address, true);
  } catch (cause) {
    client.end(rawAnswer(502, engineUnreachable(address, cause).text));
    return;
  }
  if (client.destroyed) return void engine.destroy();
  // Bytes that have arrived are still sent.
  engine.once("error", () => client.destroySoon());
  engine.once("close", (failed) => (failed ? client.destroySoon() : client.end()));
  engine.write(headWithClose(head));
  client.pipe(engine);
  engine.pipe(client);
  client.setNoDelay(true);
}

const messageBody = (text: string): string => `${JSON.stringify({ message: text })}\n`;

function rawAnswer(status: number, text: string): string {
  const body = messageBody(text);
  return `HTTP/1.1 ${status} weave\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
}

/** Answers with an error in Docker's form, a JSON object with a message. */
export function answerError(response: ServerResponse, status: number, text: string): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  sendAnswer(response, { status, type: JSON_TYPE, body: messageBody(text) });
}

/**
 * Adds a Connection header with `close` to a request: if the engine's answer stays within HTTP, the connection then ends, and the
 * proxy examines the client's next call on a new one. It is a field of its own and the last, because Podman upgrades only if the first one
 * is exactly `Upgrade`. Replaces an invalid Host as well.
 */
function headWithClose(seen: Buffer): Buffer {
  const end = seen.indexOf("\r\n\r\n");
  if (end === -1) return seen;
  const [line, ...fields] = seen.subarray(0, end).toString("latin1").split("\r\n");
  const options = fields.filter((field) => CONNECTION.test(field)).map((field) => field.replace(CONNECTION, ""));
  const others = fields
    .filter((field) => !CONNECTION.test(field))
    .map((field) => field.replace(PATH_AS_HOST, `$1${HOST}`));
  const kept = options.flatMap((value) => value.split(",")).map((value) => value.trim());
  const connections = [kept.filter((value) => value.toLowerCase() !== "keep-alive").join(", "), "close"]
    .filter((value) => value !== "")
    .map((value) => `Connection: ${value}`);
  const head = [line, ...others, ...connections].join("\r\n");
  return Buffer.concat([Buffer.from(head, "latin1"), seen.subarray(end)]);
}

/** Replaces an invalid Host header: old clients send the path of Docker's socket, which today's engines reject. */
function withValidHost(raw: readonly string[]): string[] {
  return raw.map((text, i) => (i % 2 === 1 && raw[i - 1].toLowerCase() === "host" && text.includes("/") ? HOST : text));
}

function withoutHeaders(raw: readonly string[], names: readonly string[]): string[] {
  const kept: string[] = [];
  for (let i = 0; i < raw.length; i += 2) if (!names.includes(raw[i].toLowerCase())) kept.push(raw[i], raw[i + 1]);
  return kept;
}
