import assert from "node:assert/strict";
import { Writable } from "node:stream";
import { test } from "node:test";
import { MAX_PAGES, PAGE_INTERVAL_MS, PageFeed } from "#router/page/feed.js";
import type { PageMessage, PageState } from "#router/page/page-state.js";
import { assemblePageState } from "#router/page/state-assembly.js";
import { silentLog } from "#src/log.js";
import { pageNetwork } from "#test/lab/page-network.js";
import { VirtualClock } from "#test/sim/virtual-time.js";

/** The other end of a stream: it reads only while it is not stuck. */
class Reader extends Writable {
  readonly messages: PageMessage[] = [];
  bytes = 0;
  stuck = false;
  #waiting: (() => void) | undefined;

  constructor() {
    super({ highWaterMark: 1_000, decodeStrings: false });
  }

  override _write(chunk: string, _encoding: string, done: () => void): void {
    this.bytes += chunk.length;
    const data = /^data: (.*)$/m.exec(chunk)?.[1];
    if (data !== undefined) this.messages.push(JSON.parse(data));
    if (this.stuck) this.#waiting = done;
    else done();
  }

  resumeReading(): void {
    this.stuck = false;
    this.#waiting?.();
  }
}

function bed(
  read: (count: number) => PageState = (count) => assemblePageState(pageNetwork({ peers: 5, degree: 2, at: count })),
) {
  const clock = new VirtualClock();
  let reads = 0;
  const feed = new PageFeed({
    clock,
    log: silentLog,
    read: async () => read(++reads),
    head: () => ({ run: "a", build: "b" }),
  });
  return {
    clock,
    feed,
    reads: () => reads,
    open() {
      const reader = new Reader();
      feed.open(reader);
      return reader;
    },
  };
}

/** Streams report their end after the present turn of the event loop. */
const closed = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

const sectionsOf = (message: PageMessage): string[] =>
  Object.keys(message).filter((key) => !["shape", "run", "build", "time"].includes(key));

test("50 pages cost one reading in each interval, and none when the last is closed", async () => {
  const { clock, open, reads } = bed();
  await clock.run(60_000);
  assert.equal(reads(), 0);
  const pages = Array.from({ length: 50 }, open);
  await clock.run(10 * PAGE_INTERVAL_MS);
  assert.ok(reads() >= 10 && reads() <= 11, `${reads()} readings`);
  for (const { messages } of pages) assert.ok(messages.length >= 10, `${messages.length} messages`);
  for (const page of pages) page.destroy();
  await closed();
  const before = reads();
  await clock.run(60_000);
  assert.equal(reads(), before);
});

test("a page receives all sections first, then those that have changed", async () => {
  const { clock, open } = bed();
  const page = open();
  await clock.run(2 * PAGE_INTERVAL_MS);
  const [first, second] = page.messages;
  assert.deepEqual(sectionsOf(first).length, 8);
  assert.deepEqual(sectionsOf(second), ["figures"]);
  assert.deepEqual([second.shape, second.run, second.build], ["weave.page/1", "a", "b"]);
  // A page that comes between two readings has the last one, at once.
  const late = open();
  await clock.run(1);
  assert.equal(sectionsOf(late.messages[0]).length, 8);
  // One that comes when the others have gone, too, and it has it once.
  for (const each of [page, late]) each.destroy();
  await closed();
  const next = open();
  await clock.run(100);
  assert.deepEqual(
    next.messages.map((message) => sectionsOf(message).length),
    [8],
  );
});

test("a document that is read between two turns takes no change from the pages", async () => {
  const { clock, open, feed } = bed();
  const page = open();
  await clock.run(PAGE_INTERVAL_MS - 5);
  const document: PageMessage = JSON.parse(await feed.document());
  await clock.run(10);
  assert.equal(page.messages.at(-1)!.figures!.at, document.figures!.at);
});

test("a page that does not read is passed over, and has all sections when it reads again", async () => {
  const { clock, open } = bed();
  const [slow, quick] = [open(), open()];
  await clock.run(PAGE_INTERVAL_MS);
  slow.stuck = true;
  await clock.run(10 * PAGE_INTERVAL_MS);
  assert.ok(quick.messages.length >= 10);
  assert.ok(slow.writableLength < 20_000, `${slow.writableLength} bytes wait`);
  const before = slow.messages.length;
  slow.resumeReading();
  await clock.run(PAGE_INTERVAL_MS + 100);
  const fresh = slow.messages.slice(before);
  assert.ok(fresh.some((message) => sectionsOf(message).length === 8));
  assert.equal(fresh.at(-1)!.figures!.at, quick.messages.at(-1)!.figures!.at);
});

test("a page that reads nothing for a minute is closed", async () => {
  const { clock, open } = bed();
  const page = open();
  await clock.run(100);
  page.stuck = true;
  await clock.run(50_000);
  assert.ok(!page.destroyed);
  await clock.run(30_000);
  assert.ok(page.destroyed);
});

test("more pages than the maximum are refused; a closed one makes room", async () => {
  const { feed, open } = bed();
  const pages = Array.from({ length: MAX_PAGES }, open);
  assert.ok(feed.isFull);
  pages[0].destroy();
  await closed();
  assert.ok(!feed.isFull);
});

test("a state that cannot be read is tried again", async () => {
  const { clock, open } = bed((count) => {
    if (count < 3) throw new Error("not now");
    return assemblePageState(pageNetwork({ peers: 2, degree: 1 }));
  });
  const page = open();
  await clock.run(5 * PAGE_INTERVAL_MS);
  assert.ok(page.messages.length >= 1);
});

test("a reading that takes long makes the interval longer", async () => {
  const clock = new VirtualClock();
  let reads = 0;
  const feed = new PageFeed({
    clock,
    log: silentLog,
    read: async () => {
      reads++;
      await new Promise<void>((resolve) => clock.after(500, resolve));
      return assemblePageState(pageNetwork({ peers: 2, degree: 1 }));
    },
    head: () => ({ run: "a", build: "b" }),
  });
  feed.open(new Reader());
  await clock.run(60_000);
  assert.ok(reads <= 8, `${reads} readings of 500 ms in 60 s`);
  assert.ok(reads >= 5, `${reads} readings`);
});
