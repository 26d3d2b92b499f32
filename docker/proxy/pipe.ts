import { request as httpRequest, type IncomingMessage, type RequestOptions, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { EngineAgent, openConnection } from "#docker/engine/connection.js";
import { unreachable } from "#docker/engine/engine.js";
import type { EngineAddress } from "#docker/engine/engine-address.js";

/** Headers that are about one connection, not about what it carries (RFC 9110, 7.6.1). */
const HOP_BY_HOP = ["connection", "keep-alive", "proxy-connection"];
const LENGTHS = ["content-length", "transfer-encoding"];
/** Methods of requests that have a body, if only an empty one. */
const WITH_BODY = ["POST", "PUT", "PATCH"];
/** Methods that change nothing: such a call may be sent twice (RFC 9110, 9.2.1). */
const SAFE = ["GET", "HEAD", "OPTIONS"];
/** The longest head of a message, in bytes: a registry's credentials travel in a header. */
export const MAX_HEAD = 1 << 20;

/** Any name will do on a Unix socket. */
const HOST = "docker";
const PATH_AS_HOST = /^(host: *)\S*\/\S*$/i;
const CONNECTION = /^connection: */i;

/** A client's connection has one of its own to the engine, which lives as long: what the engine keeps for a connection stays apart. */
const agents = new WeakMap<Socket, EngineAgent>();

export interface Forward {
  readonly endpoint: EngineAddress;
  readonly request: IncomingMessage;
  /** JSON in place of the request's own body. */
  readonly body?: Buffer | undefined;
}

/**
 * Sends a request on to the engine, and resolves with the head of its answer, which may come before the request's body is
 * complete. The answer's body follows as it comes; it must be read, or the answer be destroyed.
 *
 * @throws WEAVE_DOCKER_UNAVAILABLE when there was no answer
 */
export async function sendOn(forward: Forward): Promise<IncomingMessage> {
  const agent = agentOf(forward.request.socket, forward.endpoint);
  const first = attempt(forward, agent);
  try {
    return await first.answer;
  } catch (error) {
    // The engine closed a connection that was at rest while this call was under way to it. It may have carried
    // out the call: only one that changes nothing is repeated.
    if (!first.repeatable()) throw error;
    return attempt(forward, agent).answer;
  }
}

function attempt(
  { endpoint, request, body }: Forward,
  agent: EngineAgent,
): { answer: Promise<IncomingMessage>; repeatable: () => boolean } {
  const headers = withSoundHost(withoutHeaders(request.rawHeaders, [...HOP_BY_HOP, ...(body ? LENGTHS : [])]));
  const { "content-length": length, "transfer-encoding": encoding } = request.headers;
  const empty = body === undefined && length === undefined && encoding === undefined;
  if (body !== undefined) headers.push("Content-Length", String(body.length));
  if (body?.length && request.headers["content-type"] === undefined) headers.push("Content-Type", "application/json");
  // Node would send an empty body in chunks, which the engine takes for one of unknown length.
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
    // After the answer's head this settles nothing: the answer itself says how it ended.
    outgoing.on("error", (cause) => reject(unreachable(endpoint, cause)));
    if (body !== undefined || empty) outgoing.end(body);
    else request.pipe(outgoing);
    // An engine that has answered may take no more: what the client still sends must not block its connection.
    outgoing.once("close", () => {
      request.unpipe(outgoing);
      request.resume();
    });
    // Who has gone away does not want the answer; the engine must learn that, as for `docker logs -f`. Who only ends to send
    // may want it: what that means is for the engine to say.
    const client = request.socket;
    const gone = () => outgoing.destroy();
    const ended = () => {
      if (outgoing.writableFinished) outgoing.socket?.end();
      else outgoing.once("finish", () => outgoing.socket?.end());
    };
    client.once("close", gone);
    if (client.readableEnded) ended();
    else client.once("end", ended);
    outgoing.once("close", () => client.off("close", gone).off("end", ended));
  });
  return { answer, repeatable: () => empty && outgoing.reusedSocket && SAFE.includes(request.method ?? "") };
}

function agentOf(client: Socket, endpoint: EngineAddress): EngineAgent {
  const known = agents.get(client);
  if (known !== undefined) return known;
  const agent = new EngineAgent(endpoint, { keepAlive: true });
  agents.set(client, agent);
  // It may have gone while we looked at what it asks for.
  if (client.destroyed) agent.close();
  else client.once("close", () => agent.close());
  return agent;
}

/** Gives the engine's answer to the client as it comes, byte for byte. */
export function answerWith(incoming: IncomingMessage, response: ServerResponse, body?: Buffer): void {
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
  // An answer that breaks off must not look as if it were whole.
  incoming.once("aborted", () => response.destroy());
  incoming.on("error", () => response.destroy());
}

/**
 * From here on client and engine talk as if nobody were between them, both ways, each end closing when it likes.
 *
 * @param head what the client has sent already
 */
export async function joinRaw(client: Socket, endpoint: EngineAddress, head: Buffer): Promise<void> {
  let engine: Socket | undefined;
  client.on("error", () => engine?.destroy());
  client.once("close", () => engine?.destroySoon());
  try {
    engine = await openConnection(endpoint, true);
  } catch (cause) {
    client.end(rawAnswer(502, unreachable(endpoint, cause).text));
    return;
  }
  if (client.destroyed) return void engine.destroy();
  // What has arrived still goes out.
  engine.once("error", () => client.destroySoon());
  engine.once("close", (failed) => (failed ? client.destroySoon() : client.end()));
  engine.write(soundHead(head));
  client.pipe(engine);
  engine.pipe(client);
  client.setNoDelay(true);
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

/** The engine closes the connection after an answer with which it does not leave HTTP: what would follow needs our look again. */
function soundHead(seen: Buffer): Buffer {
  const end = seen.indexOf("\r\n\r\n");
  if (end === -1) return seen;
  const [line, ...fields] = seen.subarray(0, end).toString("latin1").split("\r\n");
  const options = fields.filter((field) => CONNECTION.test(field)).map((field) => field.replace(CONNECTION, ""));
  const others = fields
    .filter((field) => !CONNECTION.test(field))
    .map((field) => field.replace(PATH_AS_HOST, `$1${HOST}`));
  const kept = options.flatMap((value) => value.split(",")).map((value) => value.trim());
  const connection = [...kept.filter((value) => value.toLowerCase() !== "keep-alive"), "close"].join(", ");
  const head = [line, ...others, `Connection: ${connection}`].join("\r\n");
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
