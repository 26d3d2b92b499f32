import { Agent, type IncomingHttpHeaders, request } from "node:http";
import { connect } from "node:net";

/** Calls at the same time, each of its own connection that is kept open, as clients of Docker do. */
const AT_ONCE = 8;
const CALL_MS = 60_000;
/** What is sent of a build's context at a time, in bytes. */
const CHUNK = 16_384;
/** More than the engine reads before it answers with an error (Go's net/http, 256 KB). */
const LARGE = Buffer.alloc(1 << 20, "x");

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

/** A client of the engine's API at a Unix socket, as plain as can be: it repeats nothing. */
export class EngineClient {
  readonly socketPath: string;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: AT_ONCE });

  constructor(socketPath: string) {
    this.socketPath = socketPath;
  }

  /** @param body a buffer is sent with its length, a list in chunks */
  call(method: string, path: string, body?: object | Buffer | Buffer[]): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const plain = body === undefined || Buffer.isBuffer(body) || Array.isArray(body);
      const bytes = plain ? body : Buffer.from(JSON.stringify(body));
      const headers = {
        Host: "docker",
        ...(bytes === undefined ? {} : { "Content-Type": plain ? "application/x-tar" : "application/json" }),
        ...(Buffer.isBuffer(bytes) ? { "Content-Length": bytes.length } : {}),
      };
      const options = { socketPath: this.socketPath, method, path, headers, agent: this.#agent, timeout: CALL_MS };
      const outgoing = request(options, (incoming) => {
        const chunks: Buffer[] = [];
        incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
        incoming.on("error", reject);
        incoming.on("end", () =>
          resolve({ status: incoming.statusCode ?? 0, headers: incoming.headers, body: Buffer.concat(chunks) }),
        );
      });
      outgoing.on("timeout", () => outgoing.destroy(new Error("no answer")));
      outgoing.on("error", reject);
      if (Array.isArray(bytes)) for (const chunk of bytes) outgoing.write(chunk);
      outgoing.end(Buffer.isBuffer(bytes) ? bytes : undefined);
    });
  }

  /** A call with which both leave HTTP. Resolves with all that the engine sends, when it ends. */
  hijack(path: string, body?: object): Promise<string> {
    const text = body === undefined ? "" : JSON.stringify(body);
    const head = `POST ${path} HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Type: application/json\r\nContent-Length: ${text.length}\r\n\r\n`;
    return new Promise((resolve, reject) => {
      const chunks: Buffer[] = [];
      const socket = connect(this.socketPath, () => socket.write(head + text));
      socket.setTimeout(CALL_MS, () => socket.destroy(new Error("no answer")));
      socket.on("data", (chunk: Buffer) => chunks.push(chunk));
      socket.on("end", () => resolve(Buffer.concat(chunks).toString("latin1")));
      socket.on("error", reject);
    });
  }

  close(): void {
    this.#agent.destroy();
  }
}

/** Result of a run of calls. */
export interface RunResult {
  readonly failures: readonly string[];
  /** Of all calls together. */
  readonly seconds: number;
}

/** Makes a call `count` times, {@link AT_ONCE} at the same time. */
export async function repeat(count: number, call: (i: number) => Promise<void>): Promise<RunResult> {
  const failures: string[] = [];
  const began = performance.now();
  let next = 0;
  const worker = async () => {
    while (next < count) await call(next++).catch((error) => failures.push(String(error)));
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return { failures, seconds: (performance.now() - began) / 1_000 };
}

export interface Kind {
  readonly name: string;
  /** The number of calls is divided by this: the engine works or waits long for each. */
  readonly divisor?: number;
  /** Makes one call, the `i`th of its kind. @throws where the answer is not what the engine gives, whole */
  readonly call: (client: EngineClient, i: number) => Promise<void>;
}

function check(answer: Answer, status: number, content: RegExp): void {
  const text = answer.body.toString("latin1");
  if (answer.status !== status || !content.test(text)) throw new Error(`${answer.status} ${text.slice(0, 200)}`);
}

/**
 * The kinds of calls that there are on this interface: by method, by what is sent (nothing, with a length, in chunks, more than
 * is taken) and by what comes back (nothing, with a length, in chunks, a stream, another protocol).
 *
 * @param container runs, and has written the line `hello`
 */
export const kindsOfCalls = (container: string): readonly Kind[] => [
  ...readingCalls(container),
  ...changingCalls(container),
  ...hijackingCalls(container),
];

function readingCalls(container: string): readonly Kind[] {
  const get = (name: string, path: string, content: RegExp, status = 200): Kind => ({
    name,
    call: async (client) => check(await client.call("GET", path), status, content),
  });
  return [
    get("GET /_ping", "/_ping", /^OK$/),
    {
      name: "HEAD /_ping",
      call: async (client) => {
        const answer = await client.call("HEAD", "/_ping");
        check(answer, 200, /^$/);
        if (answer.headers["api-version"] === undefined) throw new Error("no Api-Version");
      },
    },
    get("GET /version", "/version", /"ApiVersion".*\}\n$/),
    get("GET /info", "/info", /"Containers".*\}\n$/),
    get("list of containers", "/containers/json", /^\[\{.*\}\]\n$/),
    get("inspect", `/containers/${container}/json`, /^\{.*\}\n?$/),
    get("logs", `/containers/${container}/logs?stdout=1`, /hello\n$/),
    {
      name: "events until now",
      call: async (client) => {
        const path = `/events?since=${Math.floor(Date.now() / 1_000) - 1}&until=${Math.floor(Date.now() / 1_000)}`;
        check(await client.call("GET", path), 200, /^(\{.*\}\n)*$/);
      },
    },
    get("not found", "/containers/missing/json", /No such container/, 404),
  ];
}

function changingCalls(container: string): readonly Kind[] {
  const archive = tar("Dockerfile", "NOTHING x\n");
  const context: Buffer[] = [];
  for (let at = 0; at < archive.length; at += CHUNK) context.push(archive.subarray(at, at + CHUNK));
  return [
    {
      name: "volume create, inspect, remove",
      call: async (client, i) => {
        // Two words that name the same: at most so many at once, so they do not meet.
        const name = `v${i % (AT_ONCE * 4)}-${container}`;
        check(await client.call("POST", "/volumes/create", { Name: name }), 201, /^\{.*\}\n$/);
        check(await client.call("GET", `/volumes/${name}`), 200, /^\{.*\}\n$/);
        check(await client.call("DELETE", `/volumes/${name}`), 204, /^$/);
      },
    },
    {
      name: "exec create",
      call: async (client) =>
        check(await client.call("POST", `/containers/${container}/exec`, { Cmd: ["true"] }), 201, /"Id"/),
    },
    {
      name: "container create, remove",
      divisor: 20,
      call: async (client) => {
        const created = await client.call("POST", "/containers/create", { Image: "busybox", Cmd: ["true"] });
        check(created, 201, /"Id"/);
        const { Id } = JSON.parse(created.body.toString()) as { Id: string };
        check(await client.call("DELETE", `/containers/${Id}`), 204, /^$/);
      },
    },
    {
      // The engine answers when it has the whole context.
      name: "build, its context in chunks",
      call: async (client) => check(await client.call("POST", "/build", context), 400, /unknown instruction: NOTHING/i),
    },
    {
      // Straight to the engine each costs half a second: so long it waits before it closes a connection whose body it has not read.
      name: "1 MB for a container that is not there",
      divisor: 20,
      call: async (client) =>
        check(await client.call("PUT", "/containers/missing/archive?path=/", LARGE), 404, /No such container/),
    },
  ];
}

/** Calls with which client and engine leave HTTP. */
function hijackingCalls(container: string): readonly Kind[] {
  return [
    {
      name: "attach (leaves HTTP)",
      call: async (client) => {
        const text = await client.hijack(`/containers/${container}/attach?logs=1&stdout=1`);
        if (!/^HTTP\/1.1 101 [\s\S]*hello\n$/.test(text)) throw new Error(text);
      },
    },
    {
      name: "exec create, start (leaves HTTP)",
      divisor: 20,
      call: async (client) => {
        const exec = { Cmd: ["echo", "from exec"], AttachStdout: true };
        const created = await client.call("POST", `/containers/${container}/exec`, exec);
        check(created, 201, /"Id"/);
        const { Id } = JSON.parse(created.body.toString()) as { Id: string };
        const text = await client.hijack(`/exec/${Id}/start`, {});
        if (!/^HTTP\/1.1 101 [\s\S]*from exec\n$/.test(text)) throw new Error(text);
      },
    },
  ];
}

/** A tar archive (ustar) of one file, padded to some 100 KB. */
function tar(name: string, content: string): Buffer {
  const header = Buffer.alloc(512);
  header.write(name, 0);
  header.write("0000644\0" + "0000000\0" + "0000000\0", 100);
  header.write(`${content.length.toString(8).padStart(11, "0")}\0`, 124);
  header.write("00000000000\0", 136);
  header.write("        0", 148);
  header.write("ustar\0" + "00", 257);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  const body = Buffer.alloc(512);
  body.write(content);
  return Buffer.concat([header, body, Buffer.alloc(100 << 10)]);
}
