import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { test } from "node:test";
import {
  AT_BODY,
  AT_HOPS,
  AT_KIND,
  AT_SOURCE,
  DATAGRAM_HEADER,
  DATAGRAM_TYPE,
  KIND_CONTROL,
  RECORD_OVERHEAD,
  writeMac,
} from "#router/datapath/record.js";
import { Session } from "#router/datapath/session.js";
import { endpoint, endpointText } from "#src/net/endpoint.js";
import { End, free } from "#test/fuzz/ends.js";

const [SELF, PEER, SESSION] = [1, 2, 77];

/** A record in clear with a control message, as any process can write it that knows the session's number. */
function forged(counter: number): Buffer {
  const bytes = Buffer.alloc(DATAGRAM_HEADER + RECORD_OVERHEAD + 8);
  bytes.set([DATAGRAM_TYPE, 0, 1, 0]);
  bytes.writeUInt32LE(SESSION, 4);
  bytes.writeUInt32LE(counter, 8);
  const record = bytes.subarray(DATAGRAM_HEADER);
  record.writeBigUInt64BE(BigInt(counter));
  record[AT_KIND] = KIND_CONTROL;
  record[AT_HOPS] = 32;
  writeMac(new DataView(record.buffer, record.byteOffset), AT_SOURCE, PEER);
  record[AT_BODY] = 0xff;
  return bytes;
}

async function sendFrom(host: string, to: number, bytes: Uint8Array): Promise<number> {
  const socket = createSocket("udp4");
  await new Promise<void>((resolve) => socket.bind(0, host, resolve));
  await new Promise((resolve) => socket.send(bytes, to, "127.0.0.1", resolve));
  const { port } = socket.address();
  socket.close();
  return port;
}

test("a record in clear moves the peer's address to no other host, and is dropped if it comes from one", async () => {
  const end = new End(SELF, await free());
  const session = new Session({
    local: SESSION,
    peer: PEER,
    encrypted: false,
    lane: 0,
    openssl: true,
    sender: end.sender,
    host: "127.0.0.1",
  });
  session.keys.setKey("open", 0, new Uint8Array(32), new Uint8Array(4), 0);
  session.address = endpoint("127.0.0.1", 9_999);
  end.switch.sessions.set(SESSION, session);
  await sendFrom("127.0.0.2", end.port, forged(1_000));
  end.pump();
  assert.equal(endpointText(session.address), "127.0.0.1:9999");
  assert.equal(end.tally.drops["address-unproven"], 1);
  assert.deepEqual(end.events, []);
  // It has not moved the replay window either: the peer's own records count on.
  const port = await sendFrom("127.0.0.1", end.port, forged(1));
  end.pump();
  assert.equal(endpointText(session.address), `127.0.0.1:${port}`);
  assert.equal(end.tally.drops.replayed, 0);
  assert.equal(end.tally.counters.recordsReceived, 1);
});
