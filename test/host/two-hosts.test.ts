import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { TAP_MAX_MTU } from "#src/linux/links/links.js";
import { metricNames } from "#test/lab/docs/api-page.js";
import type { Host } from "#test/lab/host.js";
import { Lab } from "#test/lab/lab.js";
import { labTest } from "#test/lab/lab-test.js";
import { Namespace } from "#test/lab/namespace.js";
import { hostTestsImpossible } from "#test/lab/requirements.js";
import { connected, until } from "#test/lab/wait.js";

const skip = hostTestsImpossible() ?? false;

test("two hosts share one encrypted Ethernet", { skip, timeout: 300_000 }, async (t) => {
  let lab: Lab;
  let h1: Host;
  let h2: Host;
  let c1: Namespace;
  let c2: Namespace;
  before(async () => {
    lab = await Lab.create(2);
    [h1, h2] = lab.hosts;
    await h1.launch("--password", "s3cret");
    await h2.launch("--password", "s3cret");
    await h2.ok("connect", h1.address);
    await connected(h1, 1);
    c1 = await h1.attach("c1", "10.32.0.1/12");
    c2 = await h2.attach("c2", "10.32.0.2/12");
  });
  after(() => lab?.dispose());

  await t.test("containers ping one another", async () => {
    await until("a ping is answered", async () => (await c1.ping("10.32.0.2")) > 0);
    assert.equal(await c2.ping("10.32.0.1", { count: 10 }), 10);
  });

  await t.test("pings of 60 KB pass, in fragments", async () => {
    assert.equal(await c1.ping("10.32.0.2", { count: 5, size: 60_000 }), 5);
  });

  await t.test("100 MB by TCP arrive unchanged, in both directions at once", async () => {
    const bytes = String(100 << 20);
    const [there, back] = [await c2.background("receive", "5001"), await c1.background("receive", "5001")];
    const sent = await Promise.all([
      c1.program("send", "10.32.0.2", "5001", bytes),
      c2.program("send", "10.32.0.1", "5001", bytes),
    ]);
    assert.deepEqual(
      [await there.result, await back.result],
      sent.map(({ stdout }) => stdout.trim()),
    );
    assert.ok(sent[0].stdout.startsWith(`${bytes} `));
    assert.equal(JSON.parse(await h2.report("{{json .Router.Drops}}"))["authentication-failed"], 0);
  });

  await t.test("IPv6 passes, too", async () => {
    await c1.must("ip", "address", "add", "fd00::1/64", "dev", "ethwe", "nodad");
    await c2.must("ip", "address", "add", "fd00::2/64", "dev", "ethwe", "nodad");
    await until("an IPv6 ping is answered", async () => (await c1.ping("fd00::2")) > 0);
    const receiver = await c2.background("receive", "5002");
    const { stdout } = await c1.program("send", "fd00::2", "5002", String(20 << 20));
    assert.equal(await receiver.result, stdout.trim());
  });

  await t.test("status has Weave Net's shape", async () => {
    const status = await h1.ok("status");
    assert.ok(status.startsWith("\n        Version: ") && status.endsWith("\n\n"));
    assert.match(status, /\n {8}Service: router\n/);
    assert.match(status, /\n {5}Encryption: enabled\n/);
    assert.match(status, /\n {4}Connections: 1 \(1 established\)\n/);
    assert.match(status, /\n {10}Peers: 2 \(with 2 established connections\)\n/);
    assert.match(
      await h1.ok("status", "connections"),
      /^<- 10\.99\.0\.2:\d+ +established encrypted {3}sleeve 02:00:00:00:00:02\(h2\) encrypted=true mtu=1394\n$/,
    );
    assert.equal(await h2.ok("status", "targets"), `${h1.address}\n`);
    assert.match(
      await h2.ok("status", "peers"),
      /02:00:00:00:00:02\(h2\)\n {3}-> 10\.99\.0\.1:6783 {8}02:00:00:00:00:01\(h1\) +established\n/,
    );
    const wrong = await h1.weave("status", "nothing");
    assert.deepEqual([wrong.code, wrong.stderr.split("\n")[0]], [1, "Invalid 'weave status' sub-command: nothing"]);
  });

  await t.test("report gives JSON and renders templates", async () => {
    const report = JSON.parse(await h1.ok("report")) as {
      Router: { Name: string; Peers: unknown[]; MACs: { NickName: string }[] };
    };
    assert.equal(report.Router.Name, h1.peerName);
    assert.equal(report.Router.Peers.length, 2);
    assert.ok(report.Router.MACs.some(({ NickName }) => NickName === "h2"));
    assert.equal(
      await h1.report('{{range .Router.Peers}}{{.NickName}}{{"\\n"}}{{end}}{{len .Router.Peers}}'),
      "h1\nh2\n2",
    );
    const bad = await h1.weave("report", "-f", "{{.Router");
    assert.equal(bad.code, 1);
    assert.match(bad.stderr, /unclosed action/);
  });

  await t.test("metrics are served on the status port", async () => {
    const metrics = await h1.must(
      "sh",
      "-c",
      `${process.execPath} -e "fetch('http://127.0.0.1:6782/metrics').then(r=>r.text()).then(console.log)"`,
    );
    assert.match(metrics, /weave_connections\{encryption="yes",state="established",type="sleeve"\} 1/);
    assert.match(metrics, /weave_datapath_drops_total\{reason="replayed"\} 0/);
    const served = [...metrics.matchAll(/^# TYPE (\w+)/gm)].map(([, name]) => name);
    // Those of service addresses are the Docker integration's, which this host does not have.
    const documented = metricNames().filter((name) => !name.startsWith("weave_service_"));
    assert.deepEqual(served.sort(), documented, "the metrics of docs/api.md");
  });

  await t.test("a peer that changes its address keeps its network", async () => {
    const move = async (from: string, to: string) => {
      await h2.must("ip", "address", "delete", `${from}/24`, "dev", h2.device);
      await h2.must("ip", "address", "add", `${to}/24`, "dev", h2.device);
    };
    await move("10.99.0.2", "10.99.0.77");
    await until("pings are answered from the new address", async () => (await c2.ping("10.32.0.1")) > 0, 30_000);
    await until(
      "the datapath follows",
      async () => (await h1.report("{{json .Router.OverlayDiagnostics}}")).includes("10.99.0.77"),
      30_000,
    );
    await move("10.99.0.77", "10.99.0.2");
    await until("pings are answered from the old address again", async () => (await c2.ping("10.32.0.1")) > 0, 90_000);
  });

  await t.test("UDP garbage and nonsense on TCP are counted, and harm no peer", async () => {
    const pid = h1.routerPid;
    await h2.program("garbage", h1.address, "6783", "3000");
    await h2.program("nonsense", h1.address, "6783");
    const drops = JSON.parse(await h1.report("{{json .Router.Drops}}")) as Record<string, number>;
    assert.ok(drops["datagram-malformed"] + drops["session-unknown"] >= 2_500, JSON.stringify(drops));
    assert.equal(h1.routerPid, pid);
    await until("pings still pass", async () => (await c1.ping("10.32.0.2")) > 0, 90_000);
  });

  await t.test("expose gives the host an address, hide takes it, and both may be repeated", async () => {
    assert.equal(await h1.ok("expose", "10.32.0.100/12", "--without-masquerade"), "10.32.0.100\n");
    await h1.ok("expose", "10.32.0.100/12", "--without-masquerade");
    await until("the other container reaches the host", async () => (await c2.ping("10.32.0.100")) > 0);
    assert.ok((await h1.ping("10.32.0.2")) > 0);
    assert.equal(await h1.ok("hide", "10.32.0.100/12"), "10.32.0.100\n");
    await h1.ok("hide", "10.32.0.100/12");
    assert.equal(await c2.ping("10.32.0.100"), 0);
  });

  await t.test("detach takes the address, and the interface with the last one", async () => {
    await h1.ok("attach", "10.40.0.1/24", `netns:${c1.ns}`);
    assert.match(await c1.must("ip", "-br", "address", "show", "ethwe"), /10\.32\.0\.1\/12 10\.40\.0\.1\/24/);
    assert.equal(await h1.ok("detach", "10.40.0.1/24", `netns:${c1.ns}`), "10.40.0.1\n");
    await h1.ok("detach", "10.32.0.1/12", `netns:${c1.ns}`);
    assert.notEqual((await c1.run("ip", "link", "show", "ethwe")).code, 0);
  });
});

/** What crosses the wire while `work` is under way. */
async function captured(lab: Lab, work: () => Promise<void>): Promise<Buffer> {
  const file = join(lab.folder, "wire.pcap");
  const tcpdump = lab.wire.spawn(["tcpdump", "-Z", "root", "--immediate-mode", "-i", "p1", "-U", "-w", file]);
  const ended = new Promise((resolve) => tcpdump.once("exit", resolve));
  try {
    await sleep(1_000);
    await work();
    await sleep(300);
  } finally {
    tcpdump.kill("SIGINT");
    await ended;
  }
  const bytes = readFileSync(file);
  assert.ok(bytes.length > 2_000, "the capture holds traffic");
  return bytes;
}

for (const encryption of ["on", "off"] as const) {
  const what =
    encryption === "on"
      ? "nothing goes over the wire in clear"
      : "with encryption off at both ends the frames are in clear, and status shows it";
  labTest(what, { hosts: 2, timeout: 120_000 }, async (lab) => {
    const [h1, h2] = lab.hosts;
    await h1.launch("--encryption", encryption);
    await h2.launch("--encryption", encryption, h1.address);
    await connected(h1, 1);
    const c1 = await h1.attach("c1", "10.32.0.1/12");
    const c2 = await h2.attach("c2", "10.32.0.2/12");
    await until("a ping is answered", async () => (await c1.ping("10.32.0.2")) > 0);
    const marker = "the-marker-of-this-very-test";
    const bytes = await captured(lab, async () => {
      const receiving = await c2.background("udp-receive", "7000");
      await c1.program("udp-send", "10.32.0.2", "7000", marker, "20");
      assert.equal(await receiving.result, marker);
    });
    assert.equal(bytes.includes(marker), encryption === "off");
    // Names of peers are hidden as well, with or without encrypted frames.
    assert.equal(bytes.includes(c1.ns), false);
    assert.match(
      await h1.ok("status", "connections"),
      encryption === "on" ? / encrypted {3}sleeve / : / unencrypted fastdp /,
    );
  });
}

/**
 * Echo requests that become frames, and records, of the lengths around 64 KB where a cipher may refuse: from the size that
 * even datagrams of a path would round up to one of these, to the largest that there is.
 */
const LARGE_PINGS = [...Array.from({ length: 16 }, (_, i) => 65_280 + i * 8), ...[65_440, 65_460, 65_475, 65_485]];

test("large frames are sealed and answered on paths of every size, by UDP and over TCP", {
  skip,
  timeout: 240_000,
}, async (t) => {
  const lab = await Lab.create(2, { mtu: 9_000 });
  try {
    const [h1, h2] = lab.hosts;
    await h1.launch("--password", "s3cret", "--no-fastdp");
    await h2.launch("--password", "s3cret", "--no-fastdp", h1.address);
    await connected(h1, 1);
    const c1 = await h1.attach("c1", "10.32.0.1/12");
    const c2 = await h2.attach("c2", "10.32.0.2/12");
    await until("a ping is answered", async () => (await c1.ping("10.32.0.2")) > 0);
    const marker = "weave-clear-text";
    const pattern = Buffer.from(marker).toString("hex");
    const answers = async (size: number) => {
      const options = ["-nq", "-c2", "-i0.2", "-W3", "-p", pattern, "-s", `${size}`];
      const { stdout } = await c1.run("ping", ...options, "10.32.0.2");
      return [size, Number(/(\d+) received/.exec(stdout)?.[1] ?? 0)] as const;
    };
    const largePings = () =>
      captured(lab, async () => {
        const results: (readonly [number, number])[] = [];
        // Few at once: what waits for the stream is bounded, to some 256 KB.
        for (let i = 0; i < LARGE_PINGS.length; i += 3)
          results.push(...(await Promise.all(LARGE_PINGS.slice(i, i + 3).map(answers))));
        assert.deepEqual(
          results.filter(([, received]) => received === 0),
          [],
        );
      });
    const drops = async (host: Host) =>
      JSON.parse(await host.report("{{json .Router.Drops}}")) as Record<string, number>;
    const unharmed = async (bytes: Buffer) => {
      assert.equal(bytes.includes(marker), false);
      for (const host of [h1, h2]) {
        const { "authentication-failed": failed, "seal-refused": refused } = await drops(host);
        assert.deepEqual([failed, refused], [0, 0]);
      }
    };
    await t.test("IP packets of every length arrive as they were sent, to the largest that a TAP takes", async () => {
      const largest = TAP_MAX_MTU - 28;
      // All of the smallest and the largest, and one of 61 between these.
      const lengths = Array.from({ length: largest - 17 }, (_, i) => 18 + i).filter(
        (length) => length < 700 || length > largest - 300 || length % 61 === 0,
      );
      const answering = await c2.background("digests", "7100");
      try {
        const { stdout } = await c1.program("lengths", "10.32.0.2", "7100", ...lengths.map(String));
        assert.equal(stdout.trim(), "", "lengths that never arrived");
      } finally {
        answering.kill();
      }
      assert.equal((await drops(h2))["frame-malformed"], 0);
    });
    // The link becomes smaller under the path, which follows at once.
    for (const mtu of [9_000, 1_492, 650, 576]) {
      await t.test(`a wire of MTU ${mtu}`, async () => {
        for (const [i, { ns }] of [h1, h2].entries()) {
          await lab.wire.must("ip", "link", "set", `p${i + 1}`, "mtu", `${mtu}`);
          await new Namespace(ns).must("ip", "link", "set", "eth0", "mtu", `${mtu}`);
        }
        await until(
          "the path has the size of the wire",
          async () => {
            // Something large makes the path notice.
            await c1.ping("10.32.0.2", { count: 1, size: 20_000, wait: 0.3 });
            return (await h1.ok("status", "connections")).includes(`mtu=${mtu - 106} `.trim());
          },
          30_000,
        );
        await unharmed(await largePings());
      });
    }
    await t.test("over TCP", async () => {
      for (const host of [h1, h2])
        await host.must(
          "nft",
          "add table inet block; add chain inet block in { type filter hook input priority -300; }; add rule inet block in udp dport 6783 drop",
        );
      await until(
        "frames go over TCP",
        async () => (await h1.ok("status", "connections")).includes(" stream "),
        30_000,
      );
      await unharmed(await largePings());
    });
  } finally {
    await lab.dispose();
  }
});
