import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

/** What a scan of the peers' TCP port may send: none of it is a handshake of a peer. Shared by the tests of the transport and of a router. */

const request = (line: string, ...headers: string[]) => `${[line, ...headers, "", ""].join("\r\n")}`;

const KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
const VERSION = "Sec-WebSocket-Version: 13";
const PROTOCOL = "Sec-WebSocket-Protocol: weave-mesh";
const UPGRADING = ["Host: x", "Connection: Upgrade", "Upgrade: websocket"];

/** The request of a peer. */
export const UPGRADE = request("GET / HTTP/1.1", ...UPGRADING, KEY, VERSION, PROTOCOL);

/** Wrong requests, and bytes that are none. */
export const APPROACHES: Readonly<Record<string, string | Uint8Array>> = {
  "a page": request("GET / HTTP/1.1", "Host: x"),
  "a page without Host": request("GET / HTTP/1.1"),
  "HTTP/1.0": request("GET / HTTP/1.0"),
  "another path": request("GET /status HTTP/1.1", "Host: x"),
  POST: request("POST / HTTP/1.1", "Host: x", "Content-Length: 0"),
  OPTIONS: request("OPTIONS * HTTP/1.1", "Host: x"),
  CONNECT: request("CONNECT example.com:443 HTTP/1.1", "Host: example.com"),
  "an unknown method": request("WEAVE / HTTP/1.1", "Host: x"),
  "Expect: 100-continue": request("POST / HTTP/1.1", "Host: x", "Content-Length: 5", "Expect: 100-continue"),
  "another expectation": request("POST / HTTP/1.1", "Host: x", "Content-Length: 5", "Expect: tea"),
  "headers that are too long": request("GET / HTTP/1.1", "Host: x", `X: ${"x".repeat(8_000)}`),
  "the preface of HTTP/2": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
  "the greeting of TLS": Uint8Array.of(0x16, 3, 1, 0, 5, 1, 0, 0, 1, 0),
  "the banner of SSH": "SSH-2.0-OpenSSH_9.2\r\n",
  zeros: new Uint8Array(64),
  "another upgrade": request("GET / HTTP/1.1", "Host: x", "Connection: Upgrade", "Upgrade: h2c"),
  "a WebSocket of another path": request("GET /x HTTP/1.1", ...UPGRADING, KEY, VERSION, PROTOCOL),
  "a WebSocket without a protocol": request("GET / HTTP/1.1", ...UPGRADING, KEY, VERSION),
  "a WebSocket of another protocol": request(
    "GET / HTTP/1.1",
    ...UPGRADING,
    KEY,
    VERSION,
    "Sec-WebSocket-Protocol: chat",
  ),
  "a WebSocket without a key": request("GET / HTTP/1.1", ...UPGRADING, VERSION, PROTOCOL),
  "a WebSocket of another version": request("GET / HTTP/1.1", ...UPGRADING, KEY, "Sec-WebSocket-Version: 99", PROTOCOL),
  "a WebSocket by POST": request("POST / HTTP/1.1", ...UPGRADING, KEY, VERSION, PROTOCOL),
};

/** A frame of RFC 6455 with its mask of zeros. */
export const frame = (opcode: number, payload: Uint8Array, head = 0x80): Uint8Array =>
  Uint8Array.of(head | opcode, 0x80 | payload.length, 0, 0, 0, 0, ...payload);

/** Frames after the request, none of which begins a handshake. */
export const FRAMES: Readonly<Record<string, Uint8Array>> = {
  "a text": frame(1, Buffer.from("hello")),
  "a ping": frame(9, Buffer.from("x")),
  "a close": frame(8, Uint8Array.of(3, 232)),
  "a close without a status": frame(8, new Uint8Array(0)),
  "an unknown opcode": frame(3, new Uint8Array(0)),
  "a reserved bit": frame(2, new Uint8Array(1), 0xc0),
  "a frame without a mask": Uint8Array.of(0x82, 1, 0),
  "a frame that is too long": Uint8Array.of(0x82, 0xff, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0),
  "an empty message": frame(2, new Uint8Array(0)),
  "an unknown message": frame(2, new Uint8Array(40).fill(9)),
  "a first message of version 1": frame(2, Uint8Array.of(1, 1, 1, 0, 0, ...new Uint8Array(32))),
  "a first message of a later version": frame(2, Uint8Array.of(1, 9, 9, 0, 0, 0, 0, ...new Uint8Array(32))),
  "a first message that is too short": frame(2, Uint8Array.of(1, 2, 2)),
  "a message out of order": frame(2, Uint8Array.of(3, ...new Uint8Array(100))),
};

/** Connects, sends bytes, and returns what comes back until the other end closes. */
export function answerOf(host: string, port: number, ...parts: readonly (string | Uint8Array)[]): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = "";
    const socket = connect(port, host, async () => {
      for (const part of parts) {
        socket.write(part);
        await sleep(20);
      }
    });
    socket.on("data", (bytes) => {
      answer += bytes.toString("latin1");
    });
    // A close with unread bytes is a reset.
    socket.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code !== "ECONNRESET" && error.code !== "EPIPE") reject(error);
    });
    socket.on("close", () => resolve(answer));
  });
}
