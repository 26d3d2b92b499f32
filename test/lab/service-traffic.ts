/**
 * Traffic to service addresses, for tests: `node service-traffic.js NAME ARGS…` inside a namespace. Those that wait print "ready".
 */
import { createSocket } from "node:dgram";
import { connect, createServer, type Socket } from "node:net";
import { hostname } from "node:os";

const [program, ...args] = process.argv.slice(2);
const ready = () => process.stdout.write("ready\n");
const done = (result: unknown) => {
  process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0));
};
/** Above some retransmissions: servers with a short queue drop a SYN on a busy machine. */
const CONNECT_MS = 15_000;
/** Limit for the last echoes, above some retransmissions: frames may have been lost while a router restarted. */
const ECHO_MS = 15_000;

/** Connects, and resolves with the first data of the server; rejects with the system's code of the error. */
function greeting(address: string, port: number): Promise<{ socket: Socket; text: string }> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: address, port });
    const fail = (why: string) => {
      socket.destroy();
      reject(new Error(why));
    };
    const timer = setTimeout(() => fail("timeout"), CONNECT_MS);
    socket.once("data", (data) => {
      clearTimeout(timer);
      resolve({ socket, text: String(data).trim() });
    });
    socket.once("end", () => fail("end"));
    socket.once("error", (error: NodeJS.ErrnoException) => fail(error.code ?? error.message));
  });
}

const programs: Record<string, () => void> = {
  /**
   * serve PORT [NAME]: greets each TCP connection with the name, by default the host's, and echoes; answers each datagram with the
   * name. SIGTERM ends it at once, with all connections: as hard a stop as servers have.
   */
  serve() {
    const [port, name = hostname()] = args;
    process.on("SIGTERM", () => process.exit(0));
    createServer((socket) => {
      socket.on("error", () => {});
      socket.write(`${name}\n`);
      socket.pipe(socket);
    }).listen(Number(port), "0.0.0.0", () => {
      const udp = createSocket("udp4");
      udp.on("message", (_, { port: to, address }) => udp.send(name, to, address));
      udp.bind(Number(port), "0.0.0.0", ready);
    });
  },

  /** count ADDRESS PORT TIMES [PARALLEL]: opens connections; prints how many of them got each greeting or error. */
  async count() {
    const [address, port, times, parallel = "8"] = args;
    const counts: Record<string, number> = {};
    let left = Number(times);
    const worker = async () => {
      while (left-- > 0) {
        const key = await greeting(address, Number(port)).then(
          ({ socket, text }) => {
            socket.destroy();
            return text;
          },
          (error) => `error ${error.message}`,
        );
        counts[key] = (counts[key] ?? 0) + 1;
      }
    };
    await Promise.all(Array.from({ length: Number(parallel) }, worker));
    done(counts);
  },

  /** stream ADDRESS PORT: opens a connection each 20 ms until SIGTERM; prints each greeting or error with its times of Unix, in ms. */
  stream() {
    const [address, port] = args;
    const results: { begin: number; end: number; text: string }[] = [];
    const pending = new Set<Promise<void>>();
    const timer = setInterval(() => {
      const begin = Date.now();
      const one = greeting(address, Number(port)).then(
        ({ socket, text }) => {
          socket.destroy();
          results.push({ begin, end: Date.now(), text });
        },
        (error) => void results.push({ begin, end: Date.now(), text: `error ${error.message}` }),
      );
      pending.add(one);
      void one.then(() => pending.delete(one));
    }, 20);
    process.on("SIGTERM", async () => {
      clearInterval(timer);
      await Promise.all(pending);
      done(results);
    });
    ready();
  },

  /** hold ADDRESS PORT COUNT: keeps connections and sends on each every 100 ms until SIGTERM; prints for each its greeting and its fate. */
  async hold() {
    const [address, port, count] = args;
    const held = await Promise.all(Array.from({ length: Number(count) }, () => greeting(address, Number(port))));
    const connections = held.map(({ socket, text }) => {
      const connection = { server: text, sent: 0, received: 0, end: "" };
      socket.on("data", (data) => {
        connection.received += data.length;
      });
      socket.on("error", (error: NodeJS.ErrnoException) => {
        connection.end = error.code ?? error.message;
      });
      socket.on("end", () => {
        connection.end ||= "end";
      });
      return { socket, connection };
    });
    const timer = setInterval(() => {
      for (const { socket, connection } of connections)
        if (connection.end === "") {
          socket.write("x");
          connection.sent++;
        }
    }, 100);
    process.on("SIGTERM", () => {
      clearInterval(timer);
      const limit = performance.now() + ECHO_MS;
      const isOpen = ({ connection: { end, sent, received } }: (typeof connections)[number]) =>
        end === "" && received < sent;
      setInterval(() => {
        if (performance.now() > limit || !connections.some(isOpen))
          done(connections.map(({ connection }) => connection));
      }, 100);
    });
    ready();
  },

  /** udp ADDRESS PORT TIMES [same]: sends datagrams, each from its own port or all from the same; prints how many got each answer. */
  async udp() {
    const [address, port, times, same] = args;
    const counts: Record<string, number> = {};
    const bind = () =>
      new Promise<ReturnType<typeof createSocket>>((resolve) => {
        const socket = createSocket("udp4");
        socket.connect(Number(port), address, () => resolve(socket));
      });
    let socket = await bind();
    for (let i = 0; i < Number(times); i++) {
      const text = await new Promise<string>((resolve) => {
        const timer = setTimeout(() => resolve("timeout"), 300);
        const answer = (result: string) => {
          clearTimeout(timer);
          resolve(result);
        };
        socket.removeAllListeners();
        socket.once("message", (data) => answer(String(data)));
        socket.once("error", (error: NodeJS.ErrnoException) => answer(`error ${error.code}`));
        socket.send("?");
      });
      counts[text] = (counts[text] ?? 0) + 1;
      if (same === undefined) {
        socket.close();
        socket = await bind();
      }
    }
    done(counts);
  },
};

programs[program]();
