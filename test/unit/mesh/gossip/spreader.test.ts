import assert from "node:assert/strict";
import { test } from "node:test";
import type { Connection } from "#mesh/connection/connection.js";
import { NeighbourTable } from "#mesh/connection/neighbour-table.js";
import { GossipSpreader, gossipFanout } from "#mesh/gossip/spreader.js";
import type { MeshMessage } from "#mesh/messages.js";
import { seededRandom, VirtualClock } from "#test/sim/virtual-time.js";

const NEWS: MeshMessage = { kind: "overlay", payload: Uint8Array.of(1) };
const STATE: MeshMessage = { kind: "overlay", payload: Uint8Array.of(2) };
const source = { sendState: (to: Connection) => to.send(STATE) };

/** A spreader with that many neighbours, of which each keeps what it is sent. */
function make(count: number) {
  const clock = new VirtualClock();
  const neighbours = new NeighbourTable(clock);
  const links = Array.from({ length: count }, (_, i) => {
    const sent: MeshMessage[] = [];
    const link = { remote: { name: `02:00:00:00:00:${10 + i}` }, congested: false, sent };
    const connection = Object.assign(link, { send: (message: MeshMessage) => void sent.push(message) });
    neighbours.add(connection as unknown as Connection);
    return connection;
  });
  const spreader = new GossipSpreader({ clock, neighbours, topology: { reachableCount: 1 }, random: seededRandom(1) });
  return { clock, spreader, links };
}

test("the fan-out grows with the logarithm of the network", () => {
  assert.deepEqual([1, 2, 3, 7, 8, 127, 4_096].map(gossipFanout), [3, 4, 4, 5, 6, 9, 15]);
});

test("news go to as many random neighbours as the fan-out, and not back to their sender", () => {
  const { spreader, links } = make(10);
  for (let round = 0; round < 50; round++) spreader.spread(source, [NEWS], links[0] as unknown as Connection);
  const counts = links.map(({ sent }) => sent.length);
  assert.equal(counts[0], 0);
  assert.equal(
    counts.reduce((sum, count) => sum + count, 0),
    50 * gossipFanout(1),
  );
  assert.ok(
    counts.slice(1).every((count) => count > 0),
    "a neighbour is never chosen",
  );
});

test("a neighbour that is too slow gets nothing, and the state once when it has caught up", () => {
  const { spreader, links } = make(1);
  const [slow] = links;
  slow.congested = true;
  for (let i = 0; i < 3; i++) spreader.spread(source, [NEWS], undefined);
  spreader.catchUp();
  assert.deepEqual(slow.sent, []);
  slow.congested = false;
  spreader.catchUp();
  spreader.catchUp();
  assert.deepEqual(slow.sent, [STATE]);
});

const news = (subject: string, version: number) => ({
  payload: Uint8Array.of(9),
  notice: Uint8Array.of(version),
  subject,
});

test("news go to branches; other neighbours get one notice of each subject, after a while", async () => {
  const { clock, spreader, links } = make(3);
  const channel = { ...source, name: "x" };
  const [branch, beside, knows] = links.map((link) => link as unknown as Connection);
  spreader.branch(channel, beside, false);
  spreader.branch(channel, knows, false);
  spreader.publish(channel, "02:00:00:00:00:01", news("a", 1), undefined);
  spreader.publish(channel, "02:00:00:00:00:01", news("a", 2), undefined);
  spreader.publish(channel, "02:00:00:00:00:01", news("b", 3), undefined);
  spreader.noticed(channel, knows, Uint8Array.of(2));
  assert.deepEqual(
    links.map(({ sent }) => sent.map(({ kind }) => kind)),
    [["push", "push", "push"], [], []],
  );
  await clock.run(1_000);
  const notices = links.slice(1).map(({ sent }) => sent.map((each) => (each.kind === "notices" ? each.notices : [])));
  assert.deepEqual(notices, [[[Uint8Array.of(2), Uint8Array.of(3)]], [[Uint8Array.of(3)]]]);
  spreader.lacked(channel, beside);
  spreader.repeated(channel, branch);
  const answers = links.slice(0, 2).map(({ sent }) => sent.at(-1));
  assert.deepEqual(answers, [
    { kind: "branch", channel: "x", grown: false },
    { kind: "branch", channel: "x", grown: true },
  ]);
  spreader.publish(channel, "02:00:00:00:00:01", news("c", 4), undefined);
  assert.deepEqual([links[0].sent.at(-1)?.kind, links[1].sent.at(-1)?.kind], ["branch", "push"]);
});
