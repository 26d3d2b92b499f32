import assert from "node:assert/strict";
import { test } from "node:test";
import { recordRejections } from "#mesh/replica/rejections.js";
import { attributesOf, connectionLines } from "#router/peers/connection-report.js";
import { connectionSamples } from "#router/peers/metrics.js";
import type { RouterReport } from "#router/peers/report.js";
import { peerLines, routerStatusBlock } from "#router/peers/status.js";

test("metrics count connections by the carrier in use, and have both values of encryption for every state", () => {
  const connection = (name: string | undefined, encrypted: boolean) => ({
    state: name === undefined ? "pending" : "established",
    encrypted,
    overlay: name === undefined ? undefined : { name },
  });
  const samples = connectionSamples({
    connections: [
      connection("sleeve", true),
      connection("sleeve", true),
      connection("stream", true),
      connection("stream", false),
      connection(undefined, true),
    ],
    attempts: [{ state: "failed" }],
  });
  assert.deepEqual(
    samples.map(({ labels, value }) => `${labels.type} ${labels.state} ${labels.encryption || "no"} ${value}`).sort(),
    [
      "sleeve established no 0",
      "sleeve established yes 2",
      "stream established no 1",
      "stream established yes 1",
      "unknown failed no 1",
      "unknown failed yes 0",
      "unknown pending no 0",
      "unknown pending yes 1",
    ],
  );
});

const { counts } = recordRejections();

const report: RouterReport = {
  Protocol: "weave",
  ProtocolMinVersion: 1,
  ProtocolMaxVersion: 2,
  Encryption: true,
  PeersAuthenticated: false,
  PasswordWeakness: null,
  WrongPasswords: [],
  PeerDiscovery: true,
  Name: "02:00:00:00:00:01",
  NickName: "h1",
  Port: 6783,
  Peers: [
    {
      Name: "02:00:00:00:00:01",
      NickName: "h1",
      UID: 1n,
      ShortID: 0,
      Version: 3,
      Connections: [
        { Name: "02:00:00:00:00:02", NickName: "h2", Address: "10.0.0.2:6783", Outbound: true, Established: true },
        { Name: "02:00:00:00:00:03", NickName: "h3", Address: "10.0.0.3:4711", Outbound: false, Established: false },
      ],
    },
  ],
  SuspendedPeers: ["02:00:00:00:00:04(h4)"],
  SlowedNeighbours: ["02:00:00:00:00:66(h9) (now): its messages took 3.1 s of CPU time, it was not read for 9.0 s"],
  RejectedRecords: { ...counts, forged: 7, outdated: 3 },
  RejectedFrom: ["02:00:00:00:00:66(h9): 7 forged"],
  Equivocations: ["02:00:00:00:00:67(h10) signed two contents of version 5 of its names"],
  ReplicaBytes: 4_096,
  NameConflicts: [],
  Fingerprint: "K7QM-2XTR-0000-1111-2222-3333",
  PinnedPeers: 3,
  ExcludedPeers: ["02:00:00:00:00:05(h5)"],
  UnicastRoutes: [],
  BroadcastRoutes: [],
  Connections: [
    {
      Address: "10.0.0.2:6783",
      Outbound: true,
      State: "established",
      Info: "encrypted   sleeve 02:00:00:00:00:02(h2)",
      Attrs: { name: "sleeve", mtu: 1394, a: 1 },
    },
    { Address: "10.0.0.9:6783", Outbound: false, State: "failed", Info: "refused", Attrs: null },
  ],
  TerminationCount: 0,
  QuarantinedMessages: 0,
  Targets: ["10.0.0.2"],
  OverlayDiagnostics: { sleeve: null, fastdp: null },
  TrustedSubnets: ["10.1.0.0/16", "10.2.0.0/16"],
  Interface: "weave (via TAP)",
  Datapath: { Threads: 2, Offloads: ["tso"], OffloadsOff: ["gro"], Cipher: "AES-256-GCM by OpenSSL" },
  CaptureStats: {},
  Drops: {},
  MACs: [],
  FrameClaims: { Sources: [], MACs: [] },
};

test("the router's paragraph of status counts connections by state, and peers' links by whether they are established", () => {
  assert.equal(
    routerStatusBlock(report),
    [
      "        Service: router",
      "       Protocol: weave 1..2",
      "           Name: 02:00:00:00:00:01(h1)",
      "    Fingerprint: K7QM-2XTR-0000-1111-2222-3333",
      "     Encryption: enabled (encrypted, peers not authenticated: no password)",
      "  PeerDiscovery: enabled",
      "        Targets: 1",
      "    Connections: 2 (1 established, 1 failed)",
      "          Peers: 1 (with 1 established, 1 pending connections)",
      "     OutOfReach: 02:00:00:00:00:04(h4)",
      "       Excluded: 02:00:00:00:00:05(h5)",
      "     SlowedPeer: 02:00:00:00:00:66(h9) (now): its messages took 3.1 s of CPU time, it was not read for 9.0 s",
      "   RejectedFrom: 02:00:00:00:00:66(h9): 7 forged",
      "   Equivocation: 02:00:00:00:00:67(h10) signed two contents of version 5 of its names",
      " TrustedSubnets: 10.1.0.0/16 10.2.0.0/16",
      "        Threads: 2",
      "       Offloads: tso; without gro",
      "         Cipher: AES-256-GCM by OpenSSL",
      "",
    ].join("\n"),
  );
});

test("a weak password and the sources of wrong ones have lines of their own", () => {
  const times = { Since: "2026-11-21T09:20:58.402Z", Last: "2026-11-21T10:00:00.000Z" };
  const WrongPasswords = [1, 12, 3, 2, 1].map((Count, i) => ({ Source: `10.0.0.${i}`, Count, ...times }));
  const shown = routerStatusBlock({
    ...report,
    PeersAuthenticated: true,
    PasswordWeakness: "weak: about 9 bits",
    WrongPasswords,
  });
  assert.deepEqual(
    shown.split("\n").filter((line) => /Passw/.test(line)),
    [
      "       Password: weak: about 9 bits",
      " WrongPasswords: 12 from 10.0.0.1 since 2026-11-21T09:20:58.402Z",
      " WrongPasswords: 3 from 10.0.0.2 since 2026-11-21T09:20:58.402Z",
      " WrongPasswords: 2 from 10.0.0.3 since 2026-11-21T09:20:58.402Z",
      " WrongPasswords: 2 from 2 other addresses",
    ],
  );
});

test("connections and peers have a line each, in columns", () => {
  assert.deepEqual(connectionLines(report), [
    "-> 10.0.0.2:6783         established encrypted   sleeve 02:00:00:00:00:02(h2) a=1 mtu=1394",
    "<- 10.0.0.9:6783         failed      refused ",
  ]);
  assert.deepEqual(peerLines(report), [
    "02:00:00:00:00:01(h1)",
    "   -> 10.0.0.2:6783         02:00:00:00:00:02(h2)                 established",
    "   <- 10.0.0.3:4711         02:00:00:00:00:03(h3)                 pending",
  ]);
});

test("a connection has one reason: silence, then a restriction, a failure, a fallback; keys keep their order", () => {
  const since = "2026-01-01T00:00:00.000Z";
  const fallback = { reason: "UDP does not pass", since };
  const restriction = "not in batches";
  const carrier = { batches: false };
  const shown = (...args: Parameters<typeof attributesOf>) => JSON.stringify(attributesOf(...args));
  const base = { encrypted: true, mtu: 1394 };
  assert.equal(shown("sleeve", {}, false), '{"name":"sleeve"}');
  assert.equal(shown("sleeve", { ...base, encrypted: false }, false), '{"name":"sleeve","mtu":1394}');
  assert.equal(
    shown("stream", { ...base, fallback }, false),
    `{"name":"stream","encrypted":true,"mtu":1394,"reason":"\\"UDP does not pass\\"","since":"${since}"}`,
  );
  assert.equal(
    shown("sleeve", { mtu: 1, failure: "none works" }, false),
    '{"name":"sleeve","mtu":1,"reason":"\\"none works\\""}',
  );
  assert.equal(
    shown("sleeve", { mtu: 1, restriction, carrier }, false),
    '{"name":"sleeve","mtu":1,"batches":false,"reason":"\\"not in batches\\""}',
  );
  const all = { mtu: 1, fallback, failure: "none works", restriction, carrier };
  assert.equal(attributesOf("sleeve", all, false).reason, '"not in batches"');
  assert.equal(attributesOf("sleeve", { ...all, restriction: undefined }, false).reason, '"none works"');
  assert.equal(attributesOf("sleeve", all, true).reason, '"the peer does not answer"');
});
