import type { ChildProcess } from "node:child_process";
import type { Background, Namespace } from "#test/lab/namespace.js";

const PORT = 21_000;
/** Interval of the pings and of the bytes by TCP, in milliseconds. */
const EVERY_MS = 5;

/** Traffic between two containers while something happens to their hosts. */
export interface Interruption {
  /** Longest time between two answers to a ping, in milliseconds. */
  readonly pingMs: number;
  /** Unix time of the last answer before it and of the first one after it, in milliseconds. */
  readonly from: number;
  readonly to: number;
  /** The same for the answers of one TCP connection: it resumes when its sender retransmits. */
  readonly tcpMs: number;
  /** TCP connections; more than one means that one was lost. */
  readonly connections: number;
}

/** A ping and a TCP connection from one container to another, until {@link Traffic.end}. */
export class Traffic {
  readonly #ping: ChildProcess;
  readonly #server: Background;
  readonly #conversation: Background;
  #pings = "";

  private constructor(from: Namespace, address: string, server: Background, conversation: Background) {
    this.#ping = from.spawn(["ping", "-n", "-D", "-i", String(EVERY_MS / 1_000), address]);
    this.#ping.stdout!.on("data", (chunk: Buffer) => {
      this.#pings += chunk;
    });
    this.#server = server;
    this.#conversation = conversation;
  }

  /** @param address of the container `to` */
  static async start(from: Namespace, to: Namespace, address: string, port = PORT): Promise<Traffic> {
    const server = await to.background("echo", String(port));
    const conversation = await from.background("conversation", address, String(port), String(EVERY_MS));
    return new Traffic(from, address, server, conversation);
  }

  /** Number of answers to pings so far. */
  get answers(): number {
    return this.#answerTimes().length;
  }

  async end(): Promise<Interruption> {
    const closed = new Promise((resolve) => this.#ping.once("close", resolve));
    this.#ping.kill("SIGTERM");
    await closed;
    const { connections, pauseMs } = JSON.parse(await this.#conversation.end());
    this.#server.kill();
    const times = this.#answerTimes();
    let [from, to] = [0, 0];
    for (let i = 1; i < times.length; i++)
      if (times[i] - times[i - 1] > to - from) [from, to] = [times[i - 1], times[i]];
    return { pingMs: Math.round(to - from), from, to, tcpMs: pauseMs, connections };
  }

  /** Ends the programs without a result. */
  kill(): void {
    this.#ping.kill("SIGKILL");
    this.#conversation.kill();
    this.#server.kill();
  }

  #answerTimes(): number[] {
    return [...this.#pings.matchAll(/^\[([\d.]+)\] \d+ bytes/gm)].map(([, time]) => Number(time) * 1_000);
  }
}
