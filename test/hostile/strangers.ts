import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { WebSocket } from "ws";
import { systemRandom } from "#src/random.js";
import { type Attack, anyName, type Field } from "./attack.js";
import { Intruder } from "./intruder.js";

const random = systemRandom;

/** Opens connections at a rate, each from the next source, until the attack ends. */
async function strangers(
  field: Field,
  perSecond: number,
  open: (host: string, port: number, from: string) => () => void,
) {
  const closers: (() => void)[] = [];
  const [host, port] = field.victims[0].split(":");
  const began = Date.now();
  for (let opened = 0; !field.signal.aborted; await sleep(20)) {
    for (const due = ((Date.now() - began) * perSecond) / 1_000; opened < due; opened++) {
      closers.push(open(host, Number(port), field.sources[opened % field.sources.length]));
      field.count("connections");
    }
    while (closers.length > 8_192) closers.shift()?.();
  }
  for (const close of closers) close();
}

const webSocket = (host: string, port: number, from: string, opened: (socket: WebSocket) => void) => {
  const socket = new WebSocket(`ws://${host}:${port}/`, "weave-mesh", { localAddress: from, perMessageDeflate: false });
  socket.on("error", () => {});
  socket.on("open", () => opened(socket));
  return () => socket.terminate();
};

/** A first message of a handshake as far as a stranger can make it, with random keys. */
const firstMessage = () =>
  Buffer.concat([Uint8Array.of(1, 2, 2, 1, 0), random.bytes(random.below(3) === 0 ? random.below(300) : 48)]);

/** Attacks of hosts that do not know the password. */
export const STRANGER_ATTACKS: Readonly<Record<string, Attack>> = {
  "tcp-connects": {
    what: "a stranger: TCP connections that say nothing",
    run: (field) =>
      strangers(field, 1_000, (host, port, localAddress) => {
        const socket = connect({ host, port, localAddress });
        socket.on("error", () => {});
        return () => socket.destroy();
      }),
  },
  "silent-websockets": {
    what: "a stranger: WebSockets that say nothing",
    run: (field) => strangers(field, 300, (host, port, from) => webSocket(host, port, from, () => {})),
  },
  "half-handshakes": {
    what: "a stranger: first messages of handshakes, and no more",
    run: (field) =>
      strangers(field, 300, (host, port, from) => webSocket(host, port, from, (socket) => socket.send(firstMessage()))),
  },
  "wrong-passwords": {
    what: "a stranger: guesses of the password",
    async run(field) {
      for (let i = 0; !field.signal.aborted; i++) {
        const from = field.sources[i % field.sources.length];
        const guess = await Intruder.join(field.victims[0], {
          name: anyName(),
          password: `guess${i}`,
          from,
          capture: false,
        });
        field.count("guesses");
        setTimeout(() => guess.stop(), 2_000).unref();
        await sleep(20);
      }
    },
  },
};
