/** The frame path on networks as they are: lossy, narrow, blocked, and on kernels that offer less. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { OFFLOADS } from "#router/datapath/protocol.js";
import type { Host } from "#test/lab/host.js";
import { labTest } from "#test/lab/lab-test.js";
import { Pair, vlans } from "#test/lab/pair.js";
import { hostTestsImpossible } from "#test/lab/requirements.js";
import { lose, transfer, withoutOffloads } from "#test/lab/transfer.js";
import { connected, until } from "#test/lab/wait.js";

const skip = hostTestsImpossible() ?? false;
const MB = 1 << 20;
/** Ethernet header, and the largest MTU of a TAP. */
const LARGEST_FRAME = 14 + 65_521;

test("what is lost on the way is lost alone: hashes of transfers at each rate of loss", {
  skip,
  timeout: 300_000,
}, async (t) => {
  let pair: Pair;
  before(async () => {
    pair = await Pair.create();
    await withoutOffloads(pair.h1, pair.h2);
  });
  after(() => pair?.lab.dispose());

  for (const [percent, bytes] of [
    [0, 40 * MB],
    [0.1, 20 * MB],
    [0.3, 20 * MB],
    [1, 8 * MB],
    [5, MB],
  ]) {
    await t.test(`${percent} % of datagrams lost`, async () => {
      await lose(percent / 100, [6783], pair.h1, pair.h2);
      await pair.carries(bytes);
    });
  }

  await t.test("the loss is known at the sender, and records have shrunk", async () => {
    // 5 % are still lost; small packets show it as well.
    await until(
      "the loss is shown",
      async () => {
        await pair.c1.run("ping", "-q", "-f", "-c", "3000", "10.32.0.2");
        const [path] = JSON.parse(await pair.h1.report("{{json .Router.OverlayDiagnostics.sleeve}}"));
        return path.LossPercent > 1 && path.LossPercent < 15 && path.DatagramsPerRecord === 1;
      },
      60_000,
    );
  });
});

labTest(
  "frames of every length, to the largest of a TAP, arrive as they were",
  { hosts: 1, timeout: 120_000 },
  async (lab) => {
    const program = new URL("../lab/every-length.js", import.meta.url).pathname;
    const [host] = lab.hosts;
    await host.must("ip", "link", "set", "lo", "up");
    const arrive = async (ranges: readonly (readonly number[])[], ...off: string[]) => {
      const list = ranges.map((range) => range.join(":")).join(",");
      const arrived = await host.must(process.execPath, program, list, ...off);
      const count = ranges.reduce((sum, [first, last, step]) => sum + Math.floor((last - first) / step) + 1, 0);
      assert.equal(Number(arrived), count);
    };
    await arrive([[60, LARGEST_FRAME, 1]]);
    const some = [
      [60, 3_000, 1],
      [3_001, LARGEST_FRAME, 97],
      [LARGEST_FRAME - 200, LARGEST_FRAME, 1],
    ];
    for (const off of ["udp-segment", "udp-gro", "vnet-header"]) await arrive(some, off);
  },
);

test("each offload can be missing, at one end or both, and all arrives unchanged", {
  skip,
  timeout: 300_000,
}, async (t) => {
  const cases: { off: readonly string[]; env?: NodeJS.ProcessEnv; both?: boolean }[] = [
    ...OFFLOADS.map((name) => ({ off: [name] })),
    { off: OFFLOADS, both: true },
    // OpenSSL finds no AES instructions: bits 57 and 33 of the capability word (OPENSSL_ia32cap(3)).
    { off: [], env: { OPENSSL_ia32cap: "~0x200000200000000" } },
  ];
  let pair: Pair;
  before(async () => {
    pair = await Pair.create();
    await pair.h2.ok("expose", "10.32.0.200/12");
    // The answers of h2's own kernel leave with partial checksums, and so does what is forwarded out of the overlay.
    await pair.c1.must("ip", "route", "add", "10.99.0.0/24", "via", "10.32.0.200");
    await pair.h2.must("sysctl", "-qw", "net.ipv4.ip_forward=1");
  });
  after(() => pair?.lab.dispose());

  for (const { off, env = {}, both = false } of cases) {
    await t.test(
      `without ${env.OPENSSL_ia32cap ? "AES instructions" : off.join(", ")}${both ? ", both ends" : ""}`,
      async () => {
        const { h1, h2, c1 } = pair;
        for (const host of both ? [h1, h2] : [h1]) {
          await host.ok("stop");
          const args = [
            "launch",
            "--name",
            host.peerName,
            "--nickname",
            host.name,
            "--resume",
            `--offloads-off=${off}`,
          ];
          const { code, stderr } = await host.weaveWith(env, ...args);
          assert.equal(code, 0, stderr);
        }
        if (off.length > 0) assert.match(await h1.ok("status"), new RegExp(`Offloads: .*without ${off[0]}`));
        if (env.OPENSSL_ia32cap) assert.match(await h1.ok("status"), /Cipher: .*without AES instructions/);
        await h1.ok("connect", h2.address);
        await pair.reached(30);
        await pair.carries(6 * MB);
        assert.equal(await c1.ping("10.32.0.2", { count: 3, size: 20_000 }), 3);
        // To the host itself, and out of it again.
        await transfer(c1, h2, "10.32.0.200", 4 * MB);
        await transfer(c1, h2, h2.address, 4 * MB);
        await transfer(h2, c1, "10.32.0.1", 4 * MB);
        assert.equal(
          (await pair.drops(h1))["authentication-failed"] + (await pair.drops(h2))["authentication-failed"],
          0,
        );
      },
    );
  }
});

test("where UDP does not pass, frames go over TCP within 15 s, and back when it does", {
  skip,
  timeout: 240_000,
}, async (t) => {
  let pair: Pair;
  before(async () => {
    pair = await Pair.create();
  });
  after(() => pair?.lab.dispose());
  const block = (host: Host, rule: string) =>
    host.must(
      "nft",
      `add table inet block; add chain inet block in { type filter hook input priority -300; }; add rule inet block in ${rule} drop`,
    );
  const unblock = (host: Host) => host.run("nft", "delete table inet block");

  for (const [what, hosts] of [
    ["one way", [0]],
    ["both ways", [0, 1]],
  ] as const) {
    await t.test(`UDP blocked ${what}`, async () => {
      const { lab, h1, h2, c1, c2 } = pair;
      for (const i of hosts) await block(lab.hosts[i], "udp dport 6783");
      const began = Date.now();
      await until("pings pass again", async () => (await c1.ping("10.32.0.2", { count: 1, wait: 0.5 })) === 1, 16_000);
      await until(
        "both ends say so",
        async () => {
          const texts = await Promise.all([h1, h2].map((host) => pair.connections(host)));
          return texts.every((text) => / stream .*reason="UDP does not pass: no answer for 12 s" since=20/.test(text));
        },
        16_000 - (Date.now() - began),
      );
      const metrics = (await h1.api("GET", "/metrics")).body;
      assert.match(metrics, /weave_connections\{encryption="yes",state="established",type="stream"\} 1/);
      assert.doesNotMatch(metrics, /type="sleeve"/);
      await transfer(c1, c2, "10.32.0.2", 8 * MB);
      await transfer(c2, c1, "fd00::1", 2 * MB);
      for (const i of hosts) await unblock(lab.hosts[i]);
      await until(
        "UDP is used again",
        async () => {
          const texts = await Promise.all([h1, h2].map((host) => pair.connections(host)));
          return texts.every((text) => text.includes(" sleeve "));
        },
        30_000,
      );
      await transfer(c1, c2, "10.32.0.2", 8 * MB);
    });
  }

  await t.test("a connection that begins without UDP is used within seconds, over packets of 576 bytes", async () => {
    const { h1, h2, c1, c2 } = pair;
    await withoutOffloads(h1, h2);
    await h2.ok("stop");
    for (const host of [h1, h2]) {
      await unblock(host);
      await block(host, "udp dport 6783");
      await host.must("nft", "add rule inet block in ip length > 576 drop");
    }
    await h2.launch();
    await h2.ok("connect", h1.address);
    await connected(h2, 1, 10_000);
    assert.match(await pair.connections(h2), / stream .*no answer for 3 s/);
    await pair.reached();
    await transfer(c1, c2, "10.32.0.2", 2 * MB);
    for (const host of [h1, h2]) await unblock(host);
  });
});

test("a path that begins to drop large packets is detected, and TCP does not stall", {
  skip,
  timeout: 120_000,
}, async () => {
  const pair = await Pair.create();
  try {
    const { h1, h2, c1, c2 } = pair;
    // The rule looks at packets as they are on a real wire.
    await withoutOffloads(h1, h2);
    await until("the full size is known", async () => (await pair.connections(h1)).includes("mtu=1394"));
    for (const host of [h1, h2])
      await host.must(
        "nft",
        "add table inet hole; add chain inet hole in { type filter hook prerouting priority -350; }; add rule inet hole in iifname eth0 ip length > 1000 drop",
      );
    const began = Date.now();
    await transfer(c1, c2, "10.32.0.2", 4 * MB);
    assert.ok(Date.now() - began < 20_000, `it took ${Date.now() - began} ms`);
    await until(
      "the new size is found",
      async () => /mtu=[89]\d\d /.test(`${(await pair.connections(h1)).trim()} `),
      20_000,
    );
    await pair.carries(4 * MB);
  } finally {
    await pair.lab.dispose();
  }
});

test("a path that drops batches gets single datagrams, and status shows it", {
  skip,
  timeout: 180_000,
}, async () => {
  const pair = await Pair.create();
  try {
    const { h1, h2, c1, c2 } = pair;
    // On a virtual wire a batch reaches the filter in one packet.
    for (const host of [h1, h2])
      await host.must(
        "nft",
        "add table inet hole; add chain inet hole in { type filter hook prerouting priority -350; }; add rule inet hole in iifname eth0 udp dport 6783 ip length > 900 drop",
      );
    await transfer(c1, c2, "10.32.0.2", 4 * MB);
    await transfer(c2, c1, "10.32.0.1", 4 * MB);
    for (const host of [h1, h2])
      assert.match(
        await pair.connections(host),
        / established .* sleeve .* batches=false .* reason="datagrams pass one by one, but not in batches"/,
      );
    await pair.carries(4 * MB);
  } finally {
    await pair.lab.dispose();
  }
});

for (const [mtu, launch, shown] of [
  [9_000, ["--mtu", "8890"], 8_894],
  [1_280, [], 1_174],
  [576, [], 470],
] as const) {
  test(`an underlay of MTU ${mtu}`, { skip, timeout: 180_000 }, async () => {
    const pair = await Pair.create({ mtu, launch });
    try {
      await until(`mtu=${shown}`, async () => (await pair.connections(pair.h1)).includes(`mtu=${shown}`));
      await pair.carries(10 * MB);
      assert.equal(await pair.c1.ping("10.32.0.2", { count: 3, size: 30_000 }), 3);
    } finally {
      await pair.lab.dispose();
    }
  });
}

test("transfers inside a VLAN are part of the tests above", {
  skip: !vlans && "this kernel has no VLAN interfaces",
}, () => {});

labTest(
  "a host with two addresses answers by UDP from the one that it is reached at, as long as it has that",
  { hosts: 2, timeout: 120_000 },
  async (lab) => {
    const [h1, h2] = lab.hosts;
    const second = "10.99.0.101";
    await h1.must("ip", "address", "add", `${second}/24`, "dev", h1.device);
    // A stateful firewall: UDP comes in from where it has gone to, and from nowhere else. Not by conntrack, which may be configured
    // not to look at it.
    const rules = [
      "add table inet stateful",
      "add set inet stateful asked { type ipv4_addr; flags dynamic; size 100; }",
      "add chain inet stateful out { type filter hook output priority 0; }",
      "add chain inet stateful in { type filter hook input priority -300; }",
      "add rule inet stateful out udp dport 6783 add @asked { ip daddr }",
      "add rule inet stateful in udp dport 6783 ip saddr != @asked drop",
    ];
    await h2.must("nft", rules.join("; "));
    await h1.launch();
    await h2.launch(second);
    const sleeve = async () =>
      (await Promise.all([h1, h2].map((host) => host.ok("status", "connections")))).every((text) =>
        / established .* sleeve /.test(text),
      );
    await until("both ends use UDP", sleeve, 10_000);
    const c1 = await h1.attach("c", "10.32.0.1/12");
    const c2 = await h2.attach("c", "10.32.0.2/12");
    await until("a ping is answered", async () => (await c1.ping("10.32.0.2", { count: 1 })) === 1);
    await transfer(c1, c2, "10.32.0.2", 4 * MB);
    await transfer(c2, c1, "10.32.0.1", 4 * MB);
    assert.match(await h1.report("{{json .Router.OverlayDiagnostics}}"), new RegExp(`"SourceAddr":"${second}"`));
    // The address goes, under the connection: UDP comes from the other one, which the firewall now lets in.
    await h2.must("nft", "delete table inet stateful");
    await h1.must("ip", "address", "delete", `${second}/24`, "dev", h1.device);
    await until(
      "the other end follows",
      async () =>
        (await h2.report("{{json .Router.OverlayDiagnostics}}")).includes(`"RemoteAddr":"${h1.address}:6783"`),
      10_000,
    );
    assert.equal(await c2.ping("10.32.0.1", { count: 5 }), 5);
  },
);

test("several threads at each end, and different numbers of them", { skip, timeout: 120_000 }, async () => {
  const pair = await Pair.create({ launch: ["--datapath-threads", "2"], launch2: ["--datapath-threads", "3"] });
  try {
    const { h1, h2, c1, c2 } = pair;
    await Promise.all(Array.from({ length: 6 }, (_, i) => transfer(c1, c2, i % 2 ? "fd00::2" : "10.32.0.2", 10 * MB)));
    await Promise.all(Array.from({ length: 6 }, (_, i) => transfer(c2, c1, i % 2 ? "fd00::1" : "10.32.0.1", 10 * MB)));
    assert.match(await h1.ok("status"), /Threads: 2/);
    for (const host of [h1, h2]) {
      const drops = await pair.drops(host);
      assert.deepEqual([drops["authentication-failed"], drops["epoch-unknown"], drops.replayed], [0, 0, 0]);
    }
    // All of them have worked: a flow stays with its thread, and there were many.
    await sleep(100);
    const macs = JSON.parse(await h1.report("{{json .Router.MACs}}")) as { NickName: string }[];
    assert.ok(macs.some(({ NickName }) => NickName === "h2"));
  } finally {
    await pair.lab.dispose();
  }
});
