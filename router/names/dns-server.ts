import { createSocket, type RemoteInfo, type Socket } from "node:dgram";
import { createServer, type Server, type Socket as TcpSocket } from "node:net";
import { type ClientSubnets, reachable } from "#dns/client-subnets.js";
import { decide } from "#dns/decide.js";
import type { Nameserver } from "#dns/nameserver.js";
import { type DnsReply, type Query, RCODE, readQuery, truncate, writeError, writeReply } from "#dns/packet.js";
import { framed, TcpReader, type Transport, type Upstream } from "#router/names/upstream.js";
import type { Cidr } from "#src/address.js";
import type { Clock } from "#src/clock.js";
import { errorText, systemCode, WeaveError } from "#src/errors.js";
import { openSharedUdp } from "#src/linux/native/udp.js";
import type { Log } from "#src/log.js";
import { endpoint, udpType } from "#src/net/endpoint.js";
import { hostPortText } from "#src/net/host-port.js";
import { RateLimiter } from "#src/rate-limiter.js";

/** Limit for the queries of one client: more than a container sends, and a fraction of the server's capacity. */
const CLIENT_RATE = { perSecond: 10_000, burst: 10_000 };
/** Number of UDP sockets. The kernel distributes clients over them: a client that floods the server fills one receive queue. */
const UDP_SOCKETS = 8;
const MAX_TCP_CONNECTIONS = 256;
/** Time after which an idle connection is closed (RFC 7766, 6.2.3: some seconds). */
const TCP_IDLE_MS = 10_000;
const MAX_TCP_MESSAGE = 65_535;
/** Interval of log lines with the counts, at debug level. No line is logged when the counts are unchanged. */
const COUNTS_MS = 10_000;

export interface DnsServerOptions {
  readonly names: Nameserver;
  readonly upstream: Upstream;
  /** Time to live of answers for names of the mesh, in seconds. */
  readonly ttl: number;
  readonly clock: Clock;
  readonly log: Log;
}

/** A DNS server over UDP and TCP at one address. */
export class DnsServer {
  readonly #options: DnsServerOptions;
  readonly #udp: readonly Socket[];
  readonly #tcp: Server;
  readonly #connections = new Set<TcpSocket>();
  readonly #clients: RateLimiter;
  readonly #counting: NodeJS.Timeout;
  #counted = "";
  #closed = false;
  #subnets: ClientSubnets | undefined;
  /** Queries by their results. */
  readonly counts = { answered: 0, forwarded: 0, failed: 0, malformed: 0, limited: 0 };

  private constructor(options: DnsServerOptions, udp: readonly Socket[], tcp: Server) {
    this.#options = options;
    this.#udp = udp;
    this.#tcp = tcp;
    this.#clients = new RateLimiter(options.clock, CLIENT_RATE);
    for (const socket of udp) {
      socket.on("message", (message, from) => void this.#onDatagram(socket, message, from));
      // An undeliverable answer affects only its client.
      socket.on("error", (error) => options.log.warn("DNS over UDP has a problem", { why: errorText(error) }));
    }
    tcp.on("connection", (socket) => this.#onConnection(socket));
    this.#counting = setInterval(() => this.#logCounts(), COUNTS_MS).unref();
    tcp.on("error", (error) => options.log.warn("DNS over TCP has a problem", { why: errorText(error) }));
  }

  /** Starts a server. @param port 0: any free port @throws WEAVE_PORT_IN_USE when the address is not available */
  static async listen(host: string, port: number, options: DnsServerOptions): Promise<DnsServer> {
    const udp: Socket[] = [];
    const tcp = createServer();
    try {
      // With port 0 all sockets use the port of the first one.
      for (let i = 0; i < UDP_SOCKETS; i++) udp.push(await bindUdp(host, udp[0]?.address().port ?? port));
      const { port: bound } = udp[0].address();
      await new Promise<void>((resolve, reject) => tcp.once("error", reject).listen(bound, host, resolve));
    } catch (cause) {
      for (const socket of udp) socket.close();
      tcp.close();
      const busy =
        systemCode(cause) === "EADDRINUSE" || (cause instanceof WeaveError && cause.code === "WEAVE_PORT_IN_USE");
      throw new WeaveError(
        "WEAVE_PORT_IN_USE",
        `cannot answer DNS at ${hostPortText(host, port)}: ${busy ? "another process uses it" : errorText(cause)}`,
        { cause, next: "Choose another address with --dns-listen-address, or launch with --no-dns." },
      );
    }
    tcp.removeAllListeners("error");
    return new DnsServer(options, udp, tcp);
  }

  /** Sets the source of the clients' subnets. */
  useSubnets(source: ClientSubnets): void {
    this.#subnets = source;
  }

  get port(): number {
    return this.#udp[0].address().port;
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#counting);
    for (const socket of this.#connections) socket.destroy();
    await Promise.all([
      ...this.#udp.map((socket) => new Promise<void>((resolve) => socket.close(() => resolve()))),
      new Promise<void>((resolve) => this.#tcp.close(() => resolve())),
    ]);
  }

  #logCounts(): void {
    const counts = JSON.stringify(this.counts);
    if (counts !== this.#counted) this.#options.log.debug("queries, since the start", this.counts);
    this.#counted = counts;
  }

  async #onDatagram(socket: Socket, message: Buffer, from: RemoteInfo): Promise<void> {
    if (!this.#clients.admit(from.address)) {
      this.counts.limited++;
      return;
    }
    const answer = this.#answer(message, "udp", from.address);
    // Names of the mesh are answered without an await, that is in the same turn of the event loop.
    const response = answer instanceof Promise ? await answer : answer;
    // The server may have been closed while an upstream server was queried.
    if (response !== undefined && !this.#closed) socket.send(response, from.port, from.address, () => {});
  }

  #onConnection(socket: TcpSocket): void {
    if (this.#connections.size >= MAX_TCP_CONNECTIONS) {
      socket.destroy();
      return;
    }
    this.#connections.add(socket);
    const client = socket.remoteAddress ?? "";
    const reader = new TcpReader(async (message) => {
      const response = await this.#answer(Uint8Array.from(message), "tcp", client);
      if (response !== undefined && !socket.destroyed) socket.write(framed(response));
    });
    socket.setTimeout(TCP_IDLE_MS, () => socket.destroy());
    socket.on("data", (chunk) => reader.push(chunk));
    socket.on("error", () => socket.destroy());
    socket.on("close", () => this.#connections.delete(socket));
  }

  #answer(message: Uint8Array, transport: Transport, client: string): Uint8Array | undefined | Promise<Uint8Array> {
    let query: Query;
    try {
      query = readQuery(message);
    } catch {
      this.counts.malformed++;
      return writeError(message, RCODE.FORMERR);
    }
    const { names, ttl } = this.#options;
    const decision = decide(query, names, ttl);
    if (decision.do === "forward") return this.#forward(message, query, transport, client);
    this.counts.answered++;
    const { reply } = decision;
    const subnets = reply.answers.length > 1 ? this.#subnets?.subnetsOf(client) : undefined;
    const write = (near: readonly Cidr[] = []) =>
      this.#write(query, { ...reply, answers: reachable(reply.answers, near) }, transport);
    return subnets instanceof Promise ? subnets.then(write) : write(subnets);
  }

  #write(query: Query, reply: DnsReply, transport: Transport): Uint8Array {
    return writeReply(query, reply, transport === "udp" ? query.udpSize : MAX_TCP_MESSAGE);
  }

  async #forward(message: Uint8Array, query: Query, transport: Transport, client: string): Promise<Uint8Array> {
    const response = await this.#options.upstream.forward(message, query.question, transport, client);
    if (response === undefined) {
      this.counts.failed++;
      this.#options.log.debug("no name server answered a query", { client });
      const reply = { rcode: RCODE.SERVFAIL, authoritative: false, answers: [], ttl: 0 };
      return this.#write(query, reply, transport);
    }
    this.counts.forwarded++;
    return transport === "udp" && response.length > query.udpSize ? truncate(response, query) : response;
  }
}

async function bindUdp(host: string, port: number): Promise<Socket> {
  const at = endpoint(host, port);
  const socket = createSocket(udpType(at));
  const fd = openSharedUdp(at);
  await new Promise<void>((resolve, reject) => socket.once("error", reject).bind({ fd, exclusive: true }, resolve));
  socket.removeAllListeners("error");
  return socket;
}
