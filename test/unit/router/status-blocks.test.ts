import assert from "node:assert/strict";
import { test } from "node:test";
import type { IpamReport } from "#router/addresses/report.js";
import { ipamStatusBlock } from "#router/addresses/status.js";
import type { DockerReports } from "#router/docker/report.js";
import { dockerStatusBlocks } from "#router/docker/status.js";
import { claimsBlocks } from "#router/frames/claims.js";
import type { DnsReport } from "#router/names/report.js";
import { dnsLines, dnsStatusBlock } from "#router/names/status.js";

const ipam: IpamReport = {
  Paxos: null,
  Range: "10.32.0.0/12",
  RangeNumIPs: 1_048_576,
  ActiveIPs: 2,
  DefaultSubnet: "10.32.0.0/12",
  Entries: null,
  PendingClaims: null,
  PendingAllocates: null,
  Waits: [],
  Contested: [],
  GivenTwice: [],
  AgreementAwaited: [],
  OtherRanges: [],
  Rejected: [],
  Status: "ready",
};

test("IPAM's paragraph has the state, the range, and the oldest problem of each kind", () => {
  assert.equal(
    ipamStatusBlock(ipam),
    "        Service: ipam\n         Status: ready\n          Range: 10.32.0.0/12\n  DefaultSubnet: 10.32.0.0/12\n",
  );
  const text = ipamStatusBlock({
    ...ipam,
    Waits: [
      { Subject: "a", SinceSeconds: 3, For: "peers", Next: "Do this." },
      { Subject: "b", SinceSeconds: 1, For: "else", Next: "Do that." },
    ],
    Contested: [{ Address: "10.32.0.1", Ident: "c", Why: "it is h2's", Next: "" }],
    OtherRanges: [{ Why: "h3 has another range", Next: "" }],
  });
  assert.match(
    text,
    /Waiting: for peers\n {11}Next: Do this\.\n {6}Contested: 1 \(it is h2's\)\n {5}OtherRange: h3 has/,
  );
  assert.doesNotMatch(text, /Do that/);
});

const dns: DnsReport = {
  Domain: "weave.local.",
  Upstream: ["8.8.8.8", "9.9.9.9"],
  Address: "0.0.0.0:53",
  TTL: 1,
  Entries: [
    {
      Hostname: "One.Weave.local.",
      Origin: "02:00:00:00:00:01",
      ContainerID: "0123456789abcdef",
      Address: "10.32.0.1",
      Version: 0,
      Tombstone: 0,
      Away: true,
    },
    {
      Hostname: "gone.weave.local.",
      Origin: "02:00:00:00:00:01",
      ContainerID: "cni:weave:c:eth0",
      Address: "10.32.0.2",
      Version: 1,
      Tombstone: 1_700_000_000,
      Away: false,
    },
    {
      Hostname: "other.example.",
      Origin: "02:00:00:00:00:02",
      ContainerID: "c",
      Address: "10.32.0.3",
      Version: 0,
      Tombstone: 0,
      Away: false,
    },
  ],
  Problem: "",
  Queries: {},
};

test("weaveDNS's paragraph and list list the names that exist, and mark unreachable peers", () => {
  assert.equal(
    dnsStatusBlock(dns),
    "        Service: dns\n         Domain: weave.local.\n       Upstream: 8.8.8.8, 9.9.9.9\n            TTL: 1\n        Entries: 2\n",
  );
  assert.match(
    dnsStatusBlock({ ...dns, Problem: "port\nin use", Upstream: [] }),
    /Problem: port in use\n.*\n.*: none\n/,
  );
  assert.deepEqual(dnsLines(dns), [
    "One          10.32.0.1       0123456789ab 02:00:00:00:00:01 - unreachable!",
    "other.example. 10.32.0.3                  c 02:00:00:00:00:02",
  ]);
});

test("proxy and plugin have a paragraph each if they are on", () => {
  const docker: DockerReports["Docker"] = {
    Engine: "unix:///var/run/docker.sock",
    Product: "docker 28.1.0",
    ApiVersion: "1.45",
    Containers: 1,
    Problem: "it\nis away",
    Swarm: "manager",
    Contested: [{ Address: "10.32.0.9", Peers: ["h1", "h2"] }],
  };
  assert.deepEqual(dockerStatusBlocks({ Docker: docker }), []);
  const [proxy, plugin] = dockerStatusBlocks({
    Docker: docker,
    Proxy: { Addresses: ["unix:///var/run/weave/weave.sock", "tcp://0.0.0.0:12375"], Open: ["tcp://0.0.0.0:12375"] },
    Plugin: {
      Config: {
        Socket: "/a",
        MeshSocket: "/b",
        Enable: true,
        EnableV2: false,
        EnableV2Multicast: false,
        DNS: true,
        DefaultSubnet: "",
        ProcPath: "/proc",
      },
      DriverName: "weave",
      MeshDriverName: "weavemesh",
    },
  });
  assert.equal(
    proxy,
    "        Service: proxy\n        Address: unix:///var/run/weave/weave.sock\n        Address: tcp://0.0.0.0:12375 (open to everyone who reaches it: --insecure-proxy)\n",
  );
  assert.equal(
    plugin,
    "        Service: plugin (legacy)\n     DriverName: weave\n        Problem: it is away\n          Swarm: manager (networks of this plugin are local to each host)\n      Contested: 1 (10.32.0.9 is in use at h1 and h2)\n",
  );
});

test("a managed plugin's paragraph has no driver, whose name only Docker knows", () => {
  const Config = { Socket: "/a", MeshSocket: "/b", Enable: true, EnableV2: true, EnableV2Multicast: false };
  const [plugin] = dockerStatusBlocks({
    Docker: {
      Engine: "",
      Product: "docker 28.1.0",
      ApiVersion: "",
      Containers: 0,
      Problem: "",
      Swarm: "worker",
      Contested: [],
    },
    Plugin: {
      Config: { ...Config, DNS: false, DefaultSubnet: "", ProcPath: "/proc" },
      DriverName: "",
      MeshDriverName: "",
    },
  });
  assert.equal(plugin, "        Service: plugin (v2)\n          Swarm: worker\n");
});

test("frames have a paragraph only if a peer claimed what is not its own", () => {
  const mac = { Name: "02:00:00:00:00:02", NickName: "h2", Mac: "0e:00:00:00:00:01", From: "02:00:00:00:00:01" };
  const none = { Moves: 3, Held: 0, Refused: 0, Full: 0 };
  const source = { Name: "02:00:00:00:00:02", NickName: "h2", Source: "02:00:00:00:00:03", SourceNickName: "h3" };
  assert.deepEqual(
    claimsBlocks({ Sources: [{ ...source, Unproven: 4, Refused: 0 }], MACs: [{ ...mac, ...none }] }),
    [],
  );
  assert.deepEqual(
    claimsBlocks({
      Sources: [{ ...source, Unproven: 4, Refused: 9 }],
      MACs: Array.from({ length: 6 }, () => ({ ...mac, ...none, Held: 2, Full: 1 })),
    })[0].split("\n"),
    [
      "        Service: frames",
      "   ForgedSource: 02:00:00:00:00:02(h2) sent 9 records of 02:00:00:00:00:03(h3) to which it has no route; dropped",
      ...Array(5).fill(
        "     ClaimedMAC: 02:00:00:00:00:02(h2) sent frames with MACs of others: 2 claimed by two peers, 1 above its share; last 0e:00:00:00:00:01 of 02:00:00:00:00:01",
      ),
      "               : 1 more in 'weave report'",
      "",
    ],
  );
});
