/** Example: two peers in one process gossip a value over WebSockets. Run it with `npm run build && node dist/examples/mesh.js`. */
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { WebSocketServer } from "ws";
import { createMesh, keyPair, makeSigner, type PeerName } from "#mesh/index.js";
import { systemClock } from "#src/clock.js";
import { systemRandom } from "#src/random.js";
import { acceptWebSockets, dialWebSocket } from "./web-socket-wire.js";

/** Starts a peer that keeps the largest number set by any peer. @param learned called with each larger number of another peer */
async function startPeer(name: PeerName, learned: (value: number) => void) {
  const server = new WebSocketServer({ host: "127.0.0.1", port: 0 });
  await once(server, "listening");
  const staticKey = keyPair(systemRandom.bytes(32));
  const signer = makeSigner(systemRandom.bytes(32));
  const mesh = createMesh({ name, staticKey, signer, clock: systemClock, random: systemRandom, dial: dialWebSocket });
  acceptWebSockets(server, (wire) => mesh.accept(wire));
  let largest = 0;
  const channel = mesh.channel("largest", {
    onUnicast() {},
    onBroadcast() {},
    onGossip(from, payload) {
      if (payload[0] <= largest) return undefined; // The value is not new, and is not passed on.
      largest = payload[0];
      console.log(`${name} learns ${largest} from ${from}`);
      learned(largest);
      return payload;
    },
    state: () => Uint8Array.of(largest),
  });
  const set = (value: number) => {
    largest = value;
    channel.gossip(Uint8Array.of(value));
  };
  const stop = () => {
    mesh.stop();
    server.close();
  };
  return { mesh, set, stop, address: `127.0.0.1:${(server.address() as AddressInfo).port}` };
}

const first = await startPeer("02:00:00:00:00:01", () => {
  for (const { stop } of [first, second]) stop();
});
const second = await startPeer("02:00:00:00:00:02", (value) => second.set(value + 1));
first.set(41);
second.mesh.connect([{ text: first.address, address: first.address, port: true }], false);
