/**
 * Small programs that tests run inside namespaces: `node program.js NAME ARGS…`. Those that wait print "ready" first.
 */
import { createHash, randomBytes } from "node:crypto";
import { createSocket } from "node:dgram";
import { Resolver } from "node:dns";
import { connect, createServer } from "node:net";
import { interfaceIndex } from "#src/linux/links/interface-index.js";
import { FrameSocket } from "#src/linux/native/frame-socket.js";
import { APPROACHES, answerOf, FRAMES, UPGRADE } from "./approaches.js";

const [name, ...args] = process.argv.slice(2);
const ready = () => process.stdout.write("ready\n");
const done = (text: string) => {
  process.stdout.write(`${text}\n`);
  process.exit(0);
};

/** Identifies a datagram. */
function digestOf(bytes: Buffer): Buffer {
  const digest = createHash("sha256").update(bytes).digest().subarray(0, 8);
  digest.writeUInt32LE(bytes.length);
  return digest;
}

const programs: Record<string, () => void | Promise<void>> = {
  /** receive PORT: takes one TCP connection; prints the count of bytes and their SHA-256. */
  receive() {
    createServer((socket) => {
      const hash = createHash("sha256");
      let bytes = 0;
      socket.on("data", (chunk) => {
        bytes += chunk.length;
        hash.update(chunk);
      });
      socket.on("end", () => done(`${bytes} ${hash.digest("hex")}`));
    }).listen(Number(args[0]), ready);
  },

  /** send ADDRESS PORT BYTES: sends random bytes; prints the same as the receiver. */
  send() {
    const total = Number(args[2]);
    const hash = createHash("sha256");
    const socket = connect({ host: args[0], port: Number(args[1]) }, () => {
      let sent = 0;
      const more = () => {
        while (sent < total) {
          const chunk = randomBytes(Math.min(65_536, total - sent));
          sent += chunk.length;
          hash.update(chunk);
          if (!socket.write(chunk)) return void socket.once("drain", more);
        }
        socket.end(() => done(`${sent} ${hash.digest("hex")}`));
      };
      more();
    });
    socket.on("error", (error) => {
      console.error(error.message);
      process.exit(1);
    });
  },

  /**
   * strangers ADDRESS PORT KIND PER-SECOND TOTAL SOURCE…: opens connections from the sources in turn and says nothing more
   * on them; KIND "websocket" first asks for a WebSocket, as a peer does. Keeps them open until it is killed.
   */
  strangers() {
    const [host, port, kind, perSecond, total, ...sources] = args;
    const request = [
      "GET / HTTP/1.1",
      `Host: ${host}:${port}`,
      "Connection: Upgrade",
      "Upgrade: websocket",
      "Sec-WebSocket-Version: 13",
      "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
      "Sec-WebSocket-Protocol: weave-mesh",
      "\r\n",
    ].join("\r\n");
    let opened = 0;
    const began = Date.now();
    ready();
    const timer = setInterval(() => {
      // As many as are due: a machine that is busy makes up for it, in bursts.
      const due = Math.min(Number(total), ((Date.now() - began) * Number(perSecond)) / 1_000);
      for (let burst = 0; opened < due && burst < 500; burst++) {
        const localAddress = sources[opened++ % sources.length];
        const socket = connect({ host, port: Number(port), localAddress }, () => {
          if (kind === "websocket") socket.write(request);
        });
        socket.on("error", () => {});
        socket.resume();
      }
      if (opened >= Number(total)) clearInterval(timer);
    }, 20);
  },

  /** connect-many PORT COUNT: so many TCP connections at once, which say nothing, for two seconds. */
  "connect-many"() {
    for (let i = 0; i < Number(args[1]); i++) connect(Number(args[0]), "127.0.0.1").on("error", () => {});
    setTimeout(() => done(args[1]), 2_000);
  },

  /**
   * scan ADDRESS PORT: all wrong approaches to a peer's port, by TCP and UDP; prints the answers as JSON. Datagrams: their number.
   */
  async scan() {
    const [host, port] = [args[0], Number(args[1])];
    const socket = createSocket("udp4");
    let datagrams = 0;
    socket.on("message", () => datagrams++);
    const requests: Record<string, string> = {};
    const frames: Record<string, string> = {};
    for (const size of [0, 1, 8, 12, 40, 100, 548, 1_400]) {
      const random = randomBytes(size);
      socket.send(random, port, host);
      // With the type of a datagram of frames, and any session.
      if (size > 12) socket.send(Buffer.concat([Buffer.from([0x57, 0, 1]), random]), port, host);
    }
    for (const [what, bytes] of Object.entries(APPROACHES)) requests[what] = await answerOf(host, port, bytes);
    for (const [what, bytes] of Object.entries(FRAMES)) frames[what] = await answerOf(host, port, UPGRADE, bytes);
    setTimeout(() => done(JSON.stringify({ requests, frames, datagrams })), 1_000);
  },

  /** udp-bind PORT: keeps a UDP port to itself. */
  "udp-bind"() {
    createSocket("udp4").bind(Number(args[0]), ready);
  },

  /** dns-await SERVER NAME…: asks for one name after the other until it is there; prints the time of each, in ms of Unix. */
  "dns-await"() {
    const resolver = new Resolver({ timeout: 1_000, tries: 1 });
    resolver.setServers([args[0]]);
    const times: number[] = [];
    ready();
    const next = () => {
      const name = args[1 + times.length];
      if (name === undefined) return done(times.join(" "));
      resolver.resolve4(name, (error) => {
        if (error === null) times.push(performance.timeOrigin + performance.now());
        setTimeout(next, error === null ? 0 : 1);
      });
    };
    next();
  },

  /** udp-receive PORT [GROUP INTERFACE]: prints the first UDP datagram that comes. */
  "udp-receive"() {
    const socket = createSocket({ type: "udp4", reuseAddr: true });
    socket.on("message", (message) => done(message.toString()));
    socket.bind(Number(args[0]), () => {
      if (args[1] !== undefined) socket.addMembership(args[1], args[2]);
      ready();
    });
    setTimeout(() => process.exit(1), 20_000);
  },

  /** udp-send ADDRESS PORT TEXT [COUNT]: sends TEXT as a UDP datagram, to all if ADDRESS is a broadcast address. */
  "udp-send"() {
    const socket = createSocket("udp4");
    socket.bind(0, () => {
      socket.setBroadcast(true);
      let left = Number(args[3] ?? 1);
      const next = () => {
        if (left-- === 0) return done("sent");
        socket.send(args[2], Number(args[1]), args[0], () => setTimeout(next, 2));
      };
      next();
    });
  },

  /** udp-flood ADDRESS PORT BYTES: sends datagrams of that size as fast as it can, until it is killed. */
  "udp-flood"() {
    const socket = createSocket("udp4");
    const bytes = Buffer.alloc(Number(args[2]));
    const burst = () => {
      for (let left = 64; left > 0; left--) socket.send(bytes, Number(args[1]), args[0], left === 1 ? burst : () => {});
    };
    socket.bind(0, () => {
      ready();
      burst();
    });
  },

  /** garbage ADDRESS PORT COUNT: random datagrams, some that begin like ours. */
  garbage() {
    const socket = createSocket("udp4");
    let left = Number(args[2]);
    const next = () => {
      if (left-- === 0) return done("sent");
      const bytes = randomBytes(1 + (left % 1_400));
      if (left % 2 === 0) bytes[0] = 0x57;
      socket.send(bytes, Number(args[1]), args[0], next);
    };
    next();
  },

  /** digests PORT: answers each UDP datagram with its length and the beginning of its SHA-256. */
  digests() {
    const socket = createSocket("udp4");
    socket.on("message", (message, { address, port }) => socket.send(digestOf(message), port, address));
    socket.bind(Number(args[0]), ready);
  },

  /** lengths ADDRESS PORT LENGTH…: sends datagrams of these lengths to "digests"; prints the lengths that are not answered. */
  async lengths() {
    const socket = createSocket("udp4");
    const expected = new Map<string, () => void>();
    socket.on("message", (digest) => expected.get(digest.toString("hex"))?.());
    const answered = async (bytes: Buffer) => {
      const digest = digestOf(bytes).toString("hex");
      for (let tries = 0; tries < 4; tries++) {
        const answer = new Promise<boolean>((resolve) => {
          const timer = setTimeout(() => resolve(false), 1_000);
          expected.set(digest, () => {
            clearTimeout(timer);
            resolve(true);
          });
        });
        socket.send(bytes, Number(args[1]), args[0]);
        if (await answer) return true;
      }
      return false;
    };
    const lengths = args.slice(2).map(Number);
    const missing: number[] = [];
    const one = async () => {
      for (let length = lengths.pop(); length !== undefined; length = lengths.pop())
        if (!(await answered(randomBytes(length)))) missing.push(length);
    };
    await Promise.all([one(), one(), one(), one()]);
    done(missing.sort((a, b) => a - b).join(" "));
  },

  /** echo PORT: returns all bytes of all TCP connections. */
  echo() {
    createServer((socket) => {
      socket.setNoDelay(true);
      socket.on("error", () => {});
      socket.pipe(socket);
    }).listen(Number(args[0]), ready);
  },

  /**
   * conversation ADDRESS PORT MS: sends a byte by one TCP connection every MS milliseconds, until SIGTERM. Prints, as JSON, how many bytes
   * came back from the echo, in how many connections, and the longest pause between two of them in milliseconds.
   */
  conversation() {
    let [echoed, connections, pauseMs] = [0, 0, 0];
    let last: number | undefined;
    const open = () => {
      const socket = connect({ host: args[0], port: Number(args[1]), noDelay: true }, () => {
        if (connections++ === 0) ready();
        const timer = setInterval(() => socket.write("."), Number(args[2]));
        socket.once("close", () => clearInterval(timer));
      });
      socket.on("data", (bytes: Buffer) => {
        const now = performance.now();
        pauseMs = Math.max(pauseMs, now - (last ?? now));
        last = now;
        echoed += bytes.length;
      });
      socket.on("error", () => {});
      socket.once("close", () => setTimeout(open, 10));
    };
    process.once("SIGTERM", () => done(JSON.stringify({ echoed, connections, pauseMs: Math.round(pauseMs) })));
    open();
  },

  /** listen PORT: holds a TCP port. */
  listen() {
    createServer().listen(Number(args[0]), ready);
  },

  /** hold-udp PORT: holds a UDP port, and answers nothing. */
  "hold-udp"() {
    createSocket("udp4").bind(Number(args[0]), ready);
  },

  /** nonsense ADDRESS PORT: raw bytes, then HTTP, then WebSockets that talk rubbish. */
  async nonsense() {
    for (const first of [
      randomBytes(500),
      Buffer.from("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
      Buffer.alloc(100_000, 65),
    ]) {
      await new Promise<void>((resolve) => {
        const socket = connect({ host: args[0], port: Number(args[1]) }, () => socket.write(first));
        socket.on("error", () => resolve());
        socket.on("close", () => resolve());
        setTimeout(() => socket.destroy(), 200);
      });
    }
    const { WebSocket } = await import("ws");
    const messages = [
      Buffer.alloc(0),
      randomBytes(1),
      randomBytes(2_000),
      randomBytes(70_000),
      Buffer.from([1]),
      Buffer.from([1, 1, 1, 0, 0, ...randomBytes(32)]),
      Buffer.from([3, 9]),
      Buffer.from([16, 1, 2, 3]),
    ];
    for (const message of messages) {
      await new Promise<void>((resolve) => {
        const socket = new WebSocket(`ws://${args[0]}:${args[1]}/`, "weave-mesh");
        socket.on("open", () => socket.send(message));
        socket.on("error", () => resolve());
        socket.on("close", () => resolve());
        setTimeout(() => socket.terminate(), 300);
      });
    }
    done("sent");
  },
};

Object.assign(programs, {
  /**
   * groups-receive PORT GROUP MS: receives broadcast and multicast until nothing has come for that time, ten times that for the first;
   * prints how many there were, and how many twice.
   */
  "groups-receive"() {
    const [port, group, ms] = args;
    const seen = new Map<string, number>();
    const socket = createSocket({ type: "udp4", reuseAddr: true });
    const end = () => {
      const twice = [...seen.values()].filter((count) => count > 1).length;
      done(JSON.stringify({ once: seen.size, twice }));
    };
    let timer = setTimeout(end, 10 * Number(ms));
    socket.on("message", (message) => {
      const key = message.toString("latin1", 0, 32).trim();
      seen.set(key, (seen.get(key) ?? 0) + 1);
      clearTimeout(timer);
      timer = setTimeout(end, Number(ms));
    });
    socket.bind(Number(port), () => {
      socket.addMembership(group);
      ready();
    });
  },

  /** groups-send PORT GROUP BROADCAST COUNT MS: sends so many of each, numbered, at this interval. */
  async "groups-send"() {
    const [port, group, broadcast, count, ms] = args;
    const socket = createSocket("udp4");
    await new Promise<void>((resolve) => socket.bind(0, resolve));
    socket.setBroadcast(true);
    socket.setMulticastTTL(4);
    for (let i = 0; i < Number(count); i++) {
      for (const to of [group, broadcast]) socket.send(Buffer.from(`${to} ${i}`.padEnd(64)), Number(port), to);
      await new Promise((resolve) => setTimeout(resolve, Number(ms)));
    }
    setTimeout(() => done("sent"), 50);
  },

  /** vxlan-forge ADDRESS PORT VNI MAC COUNT: sends frames in VXLAN (RFC 7348), as any host of the network can. */
  "vxlan-forge"() {
    const [address, port, vni, mac, count] = args;
    const header = Buffer.alloc(8);
    header[0] = 0x08;
    header.writeUInt32BE(Number(vni) * 256, 4);
    const frame = Buffer.from(`${mac.replaceAll(":", "")}02cc000000020800${"00".repeat(46)}`, "hex");
    const socket = createSocket("udp4");
    let left = Number(count);
    const next = () => {
      if (left-- === 0) return done("sent");
      socket.send(Buffer.concat([header, frame]), Number(port), address, () => setTimeout(next, 1));
    };
    next();
  },

  /** heartbeats-forge DEVICE MAC COUNT PAYLOAD: sends frames of the type of heartbeats; the payload is hexadecimal. */
  "heartbeats-forge"() {
    const [device, mac, count, payload] = args;
    const bytes = Buffer.from(payload, "hex");
    // A cookie that is not the host's, and the length of the payload.
    const length = Buffer.from("0badcafe0000", "hex");
    length.writeUInt16BE(bytes.length, 4);
    const header = Buffer.from(`${mac.replaceAll(":", "")}02cc0000000188b5`, "hex");
    const frame = Buffer.concat([header, length, bytes, Buffer.alloc(64)]);
    const socket = new FrameSocket(interfaceIndex(device), 0);
    for (let i = 0; i < Number(count); i++) socket.send(frame);
    done("sent");
  },
});

const program = programs[name];
if (program === undefined) throw new Error(`no program ${name}`);
program();
