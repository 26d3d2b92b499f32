import assert from "node:assert/strict";
import { test } from "node:test";
import type { EventDraft } from "#router/event-log/event.js";
import type { EventJournal } from "#router/event-log/event-journal.js";
import { withEvents } from "./event-peers.js";
import { Network } from "./network.js";

/** What events cost in a network whose peers all start at once, and while all of them are in trouble. `npm run bench:gossip` has 300 peers. */

const PEERS = 8;

async function ring(hasEvents: boolean) {
  const network = new Network(3);
  const peers = Array.from({ length: PEERS }, (_, i) => network.start(i, { discovery: false }));
  const journals = hasEvents ? peers.map((peer) => withEvents(network, peer)) : [];
  peers.forEach((peer, i) => {
    network.connect(peer, ...[1, 2, 3].map((d) => peers[(i + PEERS - d) % PEERS]));
  });
  await network.clock.run(60_000);
  return { network, journals, atStart: network.bytes / PEERS };
}

const perSecond = async (network: Network, seconds: number) => {
  const { bytes } = network;
  await network.clock.run(seconds * 1_000);
  return (network.bytes - bytes) / PEERS / seconds;
};

const problem = (i: number): EventDraft => ({
  kind: "problem",
  severity: "warning",
  subject: String(i),
  text: `a problem of this host, described in a sentence of usual length: ${i}`,
});

test("peers that start at once announce it to each other; the bytes are few, and fewer still afterwards", async () => {
  const [without, { network, journals, atStart }] = [await ring(false), await ring(true)];
  for (const journal of journals) {
    const started = journal.after("").filter(({ kind }) => kind === "started");
    assert.equal(new Set(started.map(({ peer }) => peer)).size, PEERS, "each knows of the start of each");
  }
  const cost = (atStart - without.atStart) / PEERS;
  assert.ok(cost < 2_000, `${cost.toFixed(0)} bytes for each peer of the network`);
  const idle = (await perSecond(network, 600)) - (await perSecond(without.network, 600));
  assert.ok(idle < 1, `${idle.toFixed(1)} B/s`);
});

test("while every peer has problem after problem, few bytes report it, and the last events arrive", async () => {
  const { network, journals } = await ring(true);
  const quiet = await perSecond(network, 300);
  const { bytes } = network;
  for (let second = 0; second < 200; second++) {
    for (const journal of journals) journal.add(problem(second));
    await network.clock.run(1_000);
  }
  const busy = (network.bytes - bytes) / PEERS / 200;
  assert.ok(busy - quiet < 1_500, `${(busy - quiet).toFixed(0)} B/s`);
  await network.clock.run(300_000);
  const last = (journal: EventJournal) =>
    new Set(
      journal
        .after("")
        .filter(({ subject }) => subject === "199")
        .map(({ peer }) => peer),
    );
  for (const journal of journals) assert.equal(last(journal).size, PEERS);
});
