import assert from "node:assert/strict";
import { test } from "node:test";
import { AssemblyBudget } from "#mesh/connection/assembly-budget.js";
import { Connection, type ConnectionEvents } from "#mesh/connection/connection.js";
import type { Handshake } from "#mesh/handshake/handshake.js";
import type { Wire, WireHandlers } from "#mesh/transport.js";
import { seededRandom, VirtualClock } from "#test/sim/virtual-time.js";
import { initiator, responder } from "../handshake/ends.js";

/** One end of a wire in memory, whose other end can cease to read. */
class End implements Wire {
  readonly remoteAddress = "10.0.0.1:6783";
  readonly localAddress = "10.0.0.2:6783";
  readonly quietMs = 0;
  received = 0;
  buffered = 0;
  reads = true;
  handlers: WireHandlers | undefined;
  other!: End;
  readonly waiting: (() => void)[] = [];

  send(bytes: Uint8Array, sent?: () => void): void {
    if (this.other.reads) {
      this.other.received += bytes.length;
      queueMicrotask(() => this.other.handlers?.message(bytes));
      // As a socket that the kernel takes everything from at once.
      if (sent !== undefined) queueMicrotask(sent);
    } else {
      this.buffered += bytes.length;
      this.waiting.push(() => {
        this.buffered -= bytes.length;
        sent?.();
      });
    }
  }
  close(): void {}
  terminate(): void {}
  pause(): void {}
  resume(): void {}
  listen(handlers: WireHandlers): void {
    this.handlers = handlers;
  }
}

/** Two connected connections, and the wire of the first. */
async function connected(): Promise<readonly [Connection, End]> {
  const clock = new VirtualClock();
  const [wire, other] = [new End(), new End()];
  [wire.other, other.other] = [other, wire];
  const none = () => {};
  const events: ConnectionEvents = { opened: none, message: none, malformed: none, responsive: none, closed: none };
  const open = (end: End, dialled: string | undefined, handshake: Handshake) => {
    const parts = { clock, random: seededRandom(1), wire: end, dialled, handshake, assemblies: new AssemblyBudget() };
    const connection = new Connection(parts, events);
    connection.start();
    return connection;
  };
  open(other, undefined, responder());
  const connection = open(wire, "10.0.0.1:6783", initiator());
  for (let turn = 0; connection.state === "handshaking" && turn < 100; turn++)
    await new Promise((resolve) => setImmediate(resolve));
  assert.equal(connection.state, "pending");
  return [connection, wire];
}

test("few messages wait for a neighbour that never reads, however short they are, and sending goes on when it reads", async () => {
  const [connection, wire] = await connected();
  wire.other.reads = false;
  let reports = 0;
  for (let i = 0; i < 20_000; i++) connection.send({ kind: "heartbeat" }, () => reports++);
  assert.ok(wire.waiting.length > 1_000 && wire.waiting.length < 4_096, `${wire.waiting.length} messages wait`);
  assert.equal(reports, 20_000 - wire.waiting.length, "who sends what is dropped is notified");
  for (const leave of wire.waiting.splice(0)) leave();
  assert.deepEqual([reports, wire.buffered], [20_000, 0]);
  connection.send({ kind: "heartbeat" });
  assert.equal(wire.waiting.length, 1);
});

test("a neighbour that reads gets any number of messages at once", async () => {
  const [connection, wire] = await connected();
  const before = wire.other.received;
  for (let i = 0; i < 20_000; i++) connection.send({ kind: "heartbeat" });
  assert.ok(wire.other.received - before > 20_000 * 10);
  assert.equal(wire.waiting.length, 0);
});
