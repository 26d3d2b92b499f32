import { once } from "node:events";
import { WebSocket, type WebSocketServer } from "ws";
import type { Dial, Wire } from "#mesh/index.js";

/** Wraps a WebSocket for a mesh. @param own address of this end, `ip:port` @param remote address of the other end */
function webSocketWire(socket: WebSocket, own: string, remote: string): Wire {
  let received = 0;
  return {
    localAddress: own,
    remoteAddress: remote,
    quietMs: undefined,
    get buffered() {
      return socket.bufferedAmount;
    },
    get received() {
      return received;
    },
    send: (bytes, sent) => socket.send(bytes, () => sent?.()),
    pause: () => socket.pause(),
    resume: () => socket.resume(),
    close: () => socket.close(),
    terminate: () => socket.terminate(),
    listen({ message, closed }) {
      socket.on("message", (data: Buffer) => {
        received += data.length;
        message(new Uint8Array(data));
      });
      socket.on("error", (error) => closed(error.message));
      socket.on("close", () => closed("the other end closed the connection"));
    },
  };
}

/** Opens a WebSocket to `ip:port`. */
export const dialWebSocket: Dial = async (address, signal) => {
  const socket = new WebSocket(`ws://${address}`);
  await once(socket, "open", { signal });
  return webSocketWire(socket, "127.0.0.1:0", address);
};

/** Calls `accept` for each inbound connection. */
export function acceptWebSockets(server: WebSocketServer, accept: (wire: Wire) => void): void {
  server.on("connection", (socket, { socket: { remoteAddress, remotePort } }) =>
    accept(webSocketWire(socket, "127.0.0.1:0", `${remoteAddress}:${remotePort}`)),
  );
}
