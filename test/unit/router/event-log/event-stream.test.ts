import assert from "node:assert/strict";
import { createServer, get, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { rowsOf } from "#cli/support/event-following.js";
import { EventJournal } from "#router/event-log/event-journal.js";
import {
  EventStream,
  type Follower,
  MAX_FOLLOWERS,
  MAX_REPLAYED,
  MAX_UNREAD_BYTES,
  ROOT_FOLLOWERS,
} from "#router/event-log/event-stream.js";
import { sendAnswer } from "#src/http/answer.js";
import { VirtualClock } from "#test/sim/virtual-time.js";

/** In memory alone. */
const NO_FILE = { load: () => [], append() {} };

/** A client whose connection is in memory. It reads nothing while `reads` is false. */
class Client implements Follower {
  text = "";
  writableLength = 0;
  closed = false;
  reads = true;
  #onClose = () => {};

  write(text: string): void {
    if (this.reads) this.text += text;
    else this.writableLength += text.length;
  }

  destroy(): void {
    this.closed = true;
    this.#onClose();
  }

  on(_: "close", listener: () => void): void {
    this.#onClose = listener;
  }

  get ids(): string[] {
    return [...this.text.matchAll(/^id: (.*)$/gm)].map(([, id]) => id);
  }
}

function start() {
  const clock = new VirtualClock();
  const journal = new EventJournal({ self: "02:00:00:00:00:01", file: NO_FILE, clock });
  const stream = new EventStream({ journal, nicknameOf: () => "h1", clock });
  let added = 0;
  const add = (text = "an event") => journal.add({ kind: "fault", severity: "info", subject: String(added++), text });
  const follow = (client: Client, lastId = "", limit = 0) => {
    const answer = stream.answer(lastId, limit);
    answer.stream?.(client as never);
    return answer.status ?? 200;
  };
  return { clock, journal, stream, add, follow };
}

test("a client gets each new event once, in the form of server-sent events", () => {
  const { journal, add, follow } = start();
  const client = new Client();
  add("before");
  follow(client);
  add("after");
  const [, { id }] = journal.own();
  const [, message] = client.text.split("\n\n");
  assert.match(client.text, /^retry: 2000\n\nid: /);
  const [idLine, data] = message.split("\n");
  assert.equal(idLine, `id: ${id}`);
  const { Schema, Events } = JSON.parse(data.slice("data: ".length));
  assert.deepEqual([Schema, Events.length, Events[0].Text, Events[0].Nickname], ["weave.events/1", 1, "after", "h1"]);
});

test("a client that returns gets what it has missed; a new one as many of the last as it wants", () => {
  const { journal, add, follow } = start();
  for (let i = 0; i < 9; i++) add();
  const ids = journal.own().map(({ id }) => id);
  const [returned, fresh, unknown] = [new Client(), new Client(), new Client()];
  follow(returned, ids[6]);
  follow(fresh, "", 3);
  follow(unknown, "02:00:00:00:00:01/1");
  assert.deepEqual(returned.ids, ids.slice(7));
  assert.deepEqual(fresh.ids, ids.slice(6));
  assert.deepEqual(unknown.ids, ids, "its event is not kept any more: it gets all");
});

test("what is sent at once is bounded, and so is the number of clients", () => {
  const { add, follow, stream } = start();
  for (let i = 0; i < MAX_REPLAYED + 100; i++) add();
  const clients = Array.from({ length: MAX_FOLLOWERS }, () => new Client());
  for (const client of clients) assert.equal(follow(client, "", 99_999), 200);
  assert.ok(clients[0].ids.length <= MAX_REPLAYED);
  assert.equal(follow(new Client()), 503);
  clients[0].destroy();
  assert.equal(follow(new Client()), 200, "one that has left makes room");
  assert.equal(stream.counts.followers, MAX_FOLLOWERS);
});

test("root follows although other users of the host have taken all places", () => {
  const { follow, stream } = start();
  for (let i = 0; i < MAX_FOLLOWERS; i++) follow(new Client());
  assert.equal(stream.answer("", 0).status, 503);
  for (let i = 0; i < ROOT_FOLLOWERS; i++) stream.answer("", 0, true).stream!(new Client() as never);
  assert.equal(stream.counts.followers, MAX_FOLLOWERS + ROOT_FOLLOWERS);
  assert.equal(stream.answer("", 0, true).status, 503);
});

test("a client that does not read is dropped, and others go on", async () => {
  const { clock, add, follow, stream } = start();
  const [slow, good] = [new Client(), new Client()];
  slow.reads = false;
  follow(slow);
  follow(good);
  for (let minute = 0; minute < 60 && !slow.closed; minute++) {
    for (let i = 0; i < 150; i++) add("x".repeat(240));
    await clock.run(400_000);
  }
  assert.ok(slow.closed);
  assert.ok(slow.writableLength < MAX_UNREAD_BYTES + 1_000, "no more waits for it");
  assert.deepEqual(stream.counts, { followers: 1, dropped: 1 });
  assert.ok(!good.closed && good.ids.length > 0);
});

test("a client without events learns that the router lives; a stop ends all clients", async () => {
  const { clock, follow, stream } = start();
  const client = new Client();
  follow(client);
  await clock.run(31_000);
  assert.equal(client.text, "retry: 2000\n\n:\n\n:\n\n");
  stream.stop();
  assert.ok(client.closed);
  await clock.run(60_000);
  assert.equal(client.text, "retry: 2000\n\n:\n\n:\n\n");
});

test("over HTTP: the follower of the command reads what is sent, and a HEAD request ends at once", async () => {
  const { add, stream } = start();
  const server: Server = createServer((_, response) => sendAnswer(response, stream.answer("", 0)));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const open = (method: string) =>
    new Promise<IncomingMessage>((resolve) => get({ host: "127.0.0.1", port, method }, resolve));
  try {
    const incoming = await open("GET");
    assert.equal(incoming.headers["content-type"], "text/event-stream");
    const rows = rowsOf(incoming);
    for (const text of ["first", "second ✓ \u2028"]) {
      add(text);
      assert.equal((await rows.next()).value?.Text, text.trim());
    }
    stream.stop();
    assert.equal((await rows.next()).done, true);
    const head = await open("HEAD");
    head.resume();
    await new Promise((resolve) => head.once("end", resolve));
    assert.equal(stream.counts.followers, 0);
  } finally {
    server.close();
    server.closeAllConnections();
  }
});
