import { createSocket } from "node:dgram";
import { connect, isIPv6 } from "node:net";
import { answersQuery } from "#dns/packet.js";
import type { ResolvConf } from "#router/names/resolv-conf.js";
import type { Random } from "#src/random.js";

/** Maximum number of pending queries, in total and of one client. Further queries fail immediately. */
const MAX_PENDING = 1_000;
const MAX_PENDING_CLIENT = 200;
const PORT = 53;

export type Transport = "udp" | "tcp";

/**
 * Forwards queries to the host's name servers, in their order. A query is forwarded unchanged, with its flags, DNSSEC bits and
 * EDNS options; only its id is replaced. The id is random, each query has its own port, and the answer must come from the
 * queried server with this id and question (RFC 5452).
 */
export class Upstream {
  readonly #resolvConf: ResolvConf;
  readonly #random: Random;
  readonly #timeoutMs: number;
  readonly #port: number;
  readonly #pending = new Map<string, number>();
  #total = 0;

  /** @param options.timeoutMs time limit for the answer of each server */
  constructor(options: { resolvConf: ResolvConf; random: Random; timeoutMs: number; port?: number }) {
    this.#resolvConf = options.resolvConf;
    this.#random = options.random;
    this.#timeoutMs = options.timeoutMs;
    this.#port = options.port ?? PORT;
  }

  get servers(): readonly string[] {
    return this.#resolvConf.servers;
  }

  /**
   * Forwards a query.
   *
   * @param query the query as received
   * @param question the octets of its question
   * @returns the response, with the client's id; undefined when no server has answered
   */
  async forward(
    query: Uint8Array,
    question: Uint8Array,
    transport: Transport,
    client: string,
  ): Promise<Uint8Array | undefined> {
    const pending = this.#pending.get(client) ?? 0;
    if (this.#total >= MAX_PENDING || pending >= MAX_PENDING_CLIENT) return undefined;
    this.#total++;
    this.#pending.set(client, pending + 1);
    try {
      for (const server of this.#resolvConf.servers) {
        const response = await this.#query(server, query, question, transport);
        if (response === undefined) continue;
        response[0] = query[0];
        response[1] = query[1];
        return response;
      }
      return undefined;
    } finally {
      this.#total--;
      const left = this.#pending.get(client)! - 1;
      if (left === 0) this.#pending.delete(client);
      else this.#pending.set(client, left);
    }
  }

  #query(
    server: string,
    query: Uint8Array,
    question: Uint8Array,
    transport: Transport,
  ): Promise<Uint8Array | undefined> {
    const id = this.#random.below(65_536);
    const sent = Uint8Array.from(query);
    sent[0] = id >> 8;
    sent[1] = id & 255;
    const isAnswer = (response: Uint8Array) => answersQuery(response, id, question);
    return transport === "udp" ? this.#queryUdp(server, sent, isAnswer) : this.#queryTcp(server, sent, isAnswer);
  }

  #queryUdp(
    server: string,
    query: Uint8Array,
    isAnswer: (response: Uint8Array) => boolean,
  ): Promise<Uint8Array | undefined> {
    return new Promise((resolve) => {
      const socket = createSocket(isIPv6(server.split("%")[0]) ? "udp6" : "udp4");
      let ended = false;
      const end = (response?: Uint8Array) => {
        if (ended) return;
        ended = true;
        clearTimeout(timer);
        socket.close();
        resolve(response);
      };
      const timer = setTimeout(end, this.#timeoutMs);
      socket.on("error", () => end());
      // The socket is connected: the kernel drops datagrams of other senders.
      socket.on("message", (response) => {
        if (isAnswer(response)) end(Uint8Array.from(response));
      });
      // connect() would also call its callback for an error, for example without a route to the server.
      socket.once("connect", () => {
        if (!ended) socket.send(query);
      });
      socket.connect(this.#port, server);
    });
  }

  #queryTcp(
    server: string,
    query: Uint8Array,
    isAnswer: (response: Uint8Array) => boolean,
  ): Promise<Uint8Array | undefined> {
    return new Promise((resolve) => {
      const socket = connect({ host: server, port: this.#port });
      const end = (response?: Uint8Array) => {
        clearTimeout(timer);
        socket.destroy();
        resolve(response);
      };
      const timer = setTimeout(end, this.#timeoutMs);
      const reader = new TcpReader((response) => end(isAnswer(response) ? Uint8Array.from(response) : undefined));
      socket.on("connect", () => socket.write(framed(query)));
      socket.on("data", (chunk) => reader.push(chunk));
      socket.on("error", () => end());
      socket.on("close", () => end());
    });
  }
}

/** Prefixes a message with its length, for TCP (RFC 1035, 4.2.2). */
export function framed(message: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(2 + message.length);
  bytes[0] = message.length >> 8;
  bytes[1] = message.length & 255;
  bytes.set(message, 2);
  return bytes;
}

/** Splits a TCP stream into messages. Buffers at most one message and one chunk. */
export class TcpReader {
  readonly #onMessage: (message: Uint8Array) => void;
  #rest: Buffer = Buffer.alloc(0);

  constructor(onMessage: (message: Uint8Array) => void) {
    this.#onMessage = onMessage;
  }

  push(chunk: Uint8Array): void {
    let rest = this.#rest.length === 0 ? Buffer.from(chunk) : Buffer.concat([this.#rest, chunk]);
    while (rest.length >= 2) {
      const length = rest.readUInt16BE(0);
      if (rest.length < 2 + length) break;
      this.#onMessage(rest.subarray(2, 2 + length));
      rest = rest.subarray(2 + length);
    }
    this.#rest = rest;
  }
}
