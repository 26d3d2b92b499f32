import assert from "node:assert/strict";
import { test } from "node:test";
import { MAX_PAGE_LINKS, MAX_PAGE_PEERS, MAX_PAGE_ROWS } from "#router/page/bounds.js";
import type { PageSources } from "#router/page/sources.js";
import { assemblePageState } from "#router/page/state-assembly.js";
import { pageNetwork } from "#test/lab/page-network.js";

/** All texts of a document. */
function textsIn(value: unknown): string[] {
  if (typeof value === "string") return [value];
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, item]) => [key, ...textsIn(item)]);
}

test("the document has this host first, each link once, and the neighbour that frames go to first", () => {
  const { mesh, host, connections, figures } = assemblePageState(pageNetwork({ peers: 8, degree: 2, unreachable: 1 }));
  assert.equal(host.name, mesh.peers[0].name);
  assert.deepEqual(
    mesh.peers.map(({ reachable }) => reachable),
    [true, true, true, true, true, true, true, false],
  );
  assert.deepEqual([mesh.peers[0].via, mesh.peers[1].via], [-1, 1]);
  const keys = mesh.links.map(([a, b]) => `${a} ${b}`);
  assert.equal(new Set(keys).size, keys.length);
  assert.ok(mesh.links.every(([a, b]) => a < b && b < 7));
  assert.deepEqual(mesh.links.slice(0, 2), [
    [0, 1, 1],
    [0, 2, 1],
  ]);
  const [first] = connections.list;
  assert.deepEqual([first.carrier, first.encrypted, first.mtu], ["sleeve", true, 1_376]);
  const [roundTrip, loss, sent, received] = figures.links[first.peer];
  assert.ok(roundTrip! > 0 && loss! >= 0 && sent > 0 && received > 0);
});

test("a link that one end alone reports as established does not pass frames", () => {
  const sources = pageNetwork({ peers: 3, degree: 1 });
  const [self, other] = sources.status.peers;
  const link = (to: string, established: boolean) => ({ to, established });
  const peers = [
    { ...self, links: [link(other.name, true)] },
    { ...other, links: [link(self.name, false)] },
  ] as unknown as PageSources["status"]["peers"];
  const { mesh } = assemblePageState({ ...sources, status: { ...sources.status, self: peers[0], peers } });
  assert.deepEqual(mesh.links, [[0, 1, 0]]);
});

test("faults have the sentences of status, the worst first, and a connection by a slower carrier is a note", () => {
  const sources = pageNetwork({ peers: 6, degree: 2, unreachable: 1, problems: ["the disk is full"] });
  const report = {
    ...sources.addresses!.report,
    Waits: [{ Subject: "c1", SinceSeconds: 4, For: "the ring", Next: "Run 'weave prime'." }],
  };
  const { faults } = assemblePageState({
    ...sources,
    router: { ...sources.router, SlowedNeighbours: ["h2 (now): its messages took 1.0 s"] },
    addresses: { report, holders: [] },
    names: { ...sources.names!, Problem: "port 53 is in use" },
    statusLines: [
      "      FrozenMAC: 02:00 stays at h1; also claimed by h2\n",
      "               : 3 more in 'weave report'\n",
    ],
  });
  assert.deepEqual(
    faults.list.map(({ severity, about, text }) => [severity, about, text]),
    [
      ["error", "Problem", "the disk is full"],
      ["error", "Unreachable", "No route leads to 02:00:00:00:00:05(web-5)."].map((text) =>
        text.replace("web-5", "db-5"),
      ),
      ["error", "Address", "c1: waits since 4 s for the ring."],
      ["error", "weaveDNS", "port 53 is in use"],
      ["warning", "Slowed peer", "h2 (now): its messages took 1.0 s"],
      ["warning", "FrozenMAC", "02:00 stays at h1; also claimed by h2"],
      ["warning", "And", "3 more in 'weave report'"],
      [
        "note",
        "Connection",
        "203.0.113.6:6783 encrypted stream 02:00:00:00:00:04(web-4): UDP does not pass: no answer for 12 s",
      ],
    ],
  );
  assert.equal(faults.list[2].next, "Run 'weave prime'.");
});

test("hostile names are cut, without invisible characters, and stay text", () => {
  const evil = (name: string) => `<img src=x onerror=alert(1)>\u0000\u202e\u001b[31m\n${name}${"x".repeat(10_000)}`;
  const state = assemblePageState(
    pageNetwork({ peers: 40, degree: 5, unreachable: 2, named: evil, problems: [evil("disk")] }),
  );
  const texts = textsIn(state);
  assert.ok(texts.some((text) => text.startsWith("<img src=x onerror=alert(1)>")));
  for (const text of texts) {
    assert.ok(text.length <= 513, `${text.length} characters`);
    assert.doesNotMatch(text, /\p{C}/u);
  }
  assert.ok(JSON.stringify(state).length < 120_000, `${JSON.stringify(state).length} bytes`);
});

test("a network of any size has a document of bounded size, which counts what it leaves out", () => {
  const { mesh, names, addresses, connections } = assemblePageState(
    pageNetwork({ peers: MAX_PAGE_PEERS + 300, degree: 12 }),
  );
  assert.deepEqual([mesh.peers.length, mesh.left.peers], [MAX_PAGE_PEERS, 300]);
  assert.equal(mesh.links.length, MAX_PAGE_LINKS);
  assert.ok(mesh.left.links > 10_000);
  assert.ok(mesh.links.every(([a, b]) => a < MAX_PAGE_PEERS && b < MAX_PAGE_PEERS));
  assert.deepEqual([names!.list.length, names!.left], [MAX_PAGE_ROWS, 2 * 2_300 - MAX_PAGE_ROWS]);
  assert.deepEqual([addresses!.spans.length, addresses!.left.spans], [MAX_PAGE_ROWS, 300]);
  assert.equal(connections.list.length, 24);
});

test("features that are off have no section", () => {
  const { addresses, names } = assemblePageState({
    ...pageNetwork({ peers: 2, degree: 1 }),
    addresses: undefined,
    names: undefined,
  });
  assert.deepEqual([addresses, names], [null, null]);
});
