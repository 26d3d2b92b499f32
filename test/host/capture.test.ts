import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { tokenFile } from "#src/paths.js";
import { RunningCapture, readCapture, tshark } from "#test/lab/capturing.js";
import { carriersAre } from "#test/lab/fastdp.js";
import { type Host, WEAVE } from "#test/lab/host.js";
import { shapeFaults } from "#test/lab/json-shape.js";
import { labTest } from "#test/lab/lab-test.js";
import { execute, type Namespace } from "#test/lab/namespace.js";
import { programMissing } from "#test/lab/requirements.js";
import { environmentOf } from "#test/lab/router-process.js";
import { transfer } from "#test/lab/transfer.js";
import { connected, until } from "#test/lab/wait.js";

/** `weave capture` on real hosts; the files are read by tshark, and by a reader of our own. */

const noTshark = programMissing("tshark", "tshark");
if (noTshark !== undefined) console.log(`# without tshark, whose part of the tests is left out: ${noTshark}`);

/** A transfer whose segments are super-frames. */
const BULK = 2 << 20;

/** Frames that are wrong for tshark: malformed, or with a checksum that is not right. */
const WRONG = "_ws.malformed or ip.checksum.status == 0 or tcp.checksum.status == 0 or udp.checksum.status == 0";

async function readable(file: string, packets: number): Promise<void> {
  if (noTshark !== undefined) return;
  assert.equal((await tshark(file, ["frame.number"])).length, packets);
  assert.deepEqual(await tshark(file, ["frame.number", "_ws.col.Info"], WRONG), []);
}

async function pair([h1, h2]: Host[], ...flags: string[]): Promise<[Namespace, Namespace]> {
  await h1.launch(...flags);
  await h2.launch(...flags, h1.address);
  await connected(h1, 1);
  const c1 = await h1.attach("c1", "10.32.0.1/12");
  const c2 = await h2.attach("c2", "10.32.0.2/12");
  await until("a ping is answered", async () => (await c1.ping("10.32.0.2", { count: 1 })) > 0);
  return [c1, c2];
}

labTest(
  "frames of a peer, a container and an interface are captured in clear",
  { hosts: 2, timeout: 300_000 },
  async ({ hosts, folder }) => {
    const [h1] = hosts;
    const [c1, c2] = await pair(hosts, "--no-fastdp", "--password", "correct horse battery staple 1");
    const file = (name: string) => join(folder, `${name}.pcapng`);
    const targets = {
      peer: ["h2"],
      container: [`netns:${c1.ns}`],
      address: ["10.32.0.1"],
      interface: ["weave-tap"],
      bridge: ["weave"],
    };
    const captures = await Promise.all(
      (["peer", "container", "interface", "bridge"] as const).map((name) =>
        RunningCapture.start(h1, file(name), ...targets[name]),
      ),
    );
    assert.match(await h1.ok("status"), /Service: capture\n(.*\n)* +Capturing: the peer 02:00:00:00:00:02\(h2\)\n/);
    const fifth = await h1.weave("capture", "10.32.0.1", "-c", "1");
    assert.deepEqual([fifth.code, /^4 captures run already, which is the maximum\n/.test(fifth.stderr)], [1, true]);
    assert.equal(await c1.ping("10.32.0.2", { count: 5 }), 5);
    await transfer(c1, c2, "10.32.0.2", BULK);
    const results = await Promise.all(captures.map((capture) => capture.stop()));
    for (const [index, { code, stderr }] of results.entries()) {
      const { packets, dropped } = readCapture(captures[index].file);
      assert.equal(code, 0);
      const summary = `${packets.length} frames captured in ${captures[index].file} (${statSync(captures[index].file).size} bytes), ${dropped} dropped: stopped\n`;
      assert.equal(stderr, summary);
      assert.ok(
        packets.some(({ length }) => length > 10_000),
        "super-frames stay whole",
      );
      const out = packets.filter(({ direction }) => direction === "out").reduce((sum, { length }) => sum + length, 0);
      if (index !== 3) assert.ok(out > BULK, `${out} bytes out`);
      await readable(captures[index].file, packets.length);
    }
    assert.equal(statSync(file("peer")).mode & 0o777, 0o600);
    const comments = new Set(readCapture(file("peer")).packets.map(({ comment }) => comment));
    assert.ok(
      comments.has("to 02:00:00:00:00:02(h2)") && comments.has("from 02:00:00:00:00:02(h2)"),
      [...comments].join(),
    );
    if (noTshark === undefined) {
      const echoes = await tshark(
        file("peer"),
        ["ip.src", "frame.interface_name", "frame.packet_flags_direction"],
        "icmp",
      );
      assert.equal(echoes.length, 10);
      assert.deepEqual(echoes[0], ["10.32.0.1", "weave-tap", "0x00000002"]);
      assert.deepEqual(echoes[1], ["10.32.0.2", "weave-tap", "0x00000001"]);
    }
    assert.match(h1.log(), /"target":"the peer 02:00:00:00:00:02\(h2\)","frames":\d+,"dropped":0,"why":"stopped"/);
    await limits(h1, c1, folder);
    await refusals(h1);
  },
);

/** Each limit ends a capture, or cuts its frames; the output is pcapng in a pipe, lines on a terminal, JSON on request. */
async function limits(h1: Host, c1: Namespace, folder: string): Promise<void> {
  const pings = c1.spawn(["ping", "-n", "-q", "-i", "0.05", "-s", "500", "10.32.0.2"]);
  const file = (name: string) => join(folder, `${name}.pcapng`);
  const [count, time, size, snap] = await Promise.all([
    h1.weave("capture", "h2", "-c", "3", "-w", file("count"), "icmp"),
    h1.weave("capture", "h2", "--seconds", "1", "-w", file("time"), "icmp"),
    h1.weave("capture", "h2", "--size", "4096", "-w", file("size")),
    h1.weave("capture", "h2", "--snaplen", "64", "-c", "4", "-w", file("snap"), "icmp", "and", "host", "10.32.0.2"),
  ]);
  assert.match(count.stderr, /^3 frames captured in .*, 0 dropped: the number of frames is reached\n$/);
  assert.match(time.stderr, / 0 dropped: its time is over\n$/);
  assert.match(size.stderr, / 0 dropped: the size is reached\n$/);
  assert.equal(readCapture(file("count")).packets.length, 3);
  assert.ok(statSync(file("size")).size > 3_000 && statSync(file("size")).size <= 4_096 + 256);
  assert.match(snap.stderr, /^4 frames/);
  for (const { bytes, length } of readCapture(file("snap")).packets)
    assert.deepEqual([bytes.length, length], [64, 542]);
  await readable(file("snap"), 4);
  const [piped, lines, json, document] = await Promise.all([
    h1.run("sh", "-c", `env ${environmentOf(h1).join(" ")} ${WEAVE} capture 10.32.0.1 -c 2 icmp >${file("piped")}`),
    h1.run("env", ...environmentOf(h1), "script", "-qec", `${WEAVE} capture netns:${c1.ns} -c 2 icmp`, "/dev/null"),
    h1.weave("capture", "weave", "-c", "2", "--json", "icmp"),
    h1.weave("capture", "weave", "-c", "2", "--json", "-w", file("json")),
  ]);
  assert.equal(piped.code, 0, piped.stderr);
  assert.equal(readCapture(file("piped")).packets.length, 2);
  const line =
    /^\d\d:\d\d:\d\d\.\d{6} (in |out) [0-9a-f:]{17} > [0-9a-f:]{17} ICMP 10\.32\.0\.(1|2) > 10\.32\.0\.(1|2) 542 bytes \(echo re(quest|ply)\)\r$/gm;
  assert.equal(lines.stdout.match(line)?.length, 2, lines.stdout);
  const documents = json.stdout.trimEnd().split("\n");
  const shapes = ["capture-frame", "capture-frame", "capture"] as const;
  assert.deepEqual(
    documents.flatMap((text, index) => shapeFaults(shapes[index], text)),
    [],
  );
  assert.deepEqual(shapeFaults("capture", document.stdout), []);
  pings.kill();
}

async function refusals(h1: Host): Promise<void> {
  const refused: readonly (readonly [args: readonly string[], reason: RegExp])[] = [
    [["eth0"], /^cannot capture "eth0": it is not an interface of weave\n.*tcpdump -i eth0\n$/],
    [["interface:lo"], /it is not an interface of weave/],
    [["nosuch"], /it is no peer, no interface of weave and no container of this host/],
    [["peer:nosuch"], /no such peer is reachable/],
    [["h1"], /it is this host/],
    [["10.32.0.2"], /no container of this host has this address/],
    [["container:10.99.0.1"], /no container of this host/],
    [["h2", "port", "web"], /^the filter is not valid: "web" is no port/],
    [["h2", "tcp", "and", "port", "80", "or", "arp"], /needs parentheses/],
    [["h2", "-w", "/proc/nosuch/file"], /^cannot write \/proc\/nosuch\/file: ENOENT/],
    [["h2", "-w", "/etc/hosts"], /^cannot write \/etc\/hosts: it exists already\n/],
    [["h2", "-c", "0"], /-c: it must be frames from 1 to/],
    [["h2", "--json", "-w", "-"], /is no JSON/],
    [[], /name a peer, a container or an interface of weave/],
  ];
  await Promise.all(
    refused.map(async ([args, reason]) => {
      const { code, stdout, stderr } = await h1.weave("capture", ...args);
      assert.deepEqual([code, stdout], [1, ""], args.join(" "));
      assert.match(stderr, reason, args.join(" "));
    }),
  );
  // Over TCP there is no such call, not with the token either: what it returns is what peers encrypt.
  const token = readFileSync(tokenFile(h1.runDir), "utf8").trim();
  for (const port of [6784, 6782]) {
    const url = `http://127.0.0.1:${port}/capture/h2`;
    const { stdout } = await h1.run(
      "curl",
      "-s",
      "-o",
      "/dev/null",
      "-w",
      "%{http_code}",
      "-H",
      `Authorization: Bearer ${token}`,
      "-X",
      "POST",
      url,
    );
    assert.equal(stdout, "404", url);
  }
  const lone = await h1.container("x");
  const unattached = await h1.weave("capture", `netns:${lone.ns}`);
  assert.match(unattached.stderr, /it is not on the network\n'weave attach netns:/);
}

/** Reads nothing of a capture, until it reads all. */
class SlowReader {
  readonly #child: ChildProcess;

  constructor(host: Host, target: string) {
    this.#child = host.spawn(["env", ...environmentOf(host), WEAVE, "capture", target]);
  }

  /** Reads what is there, then ends the capture. */
  async read(file: string): Promise<string> {
    const chunks: Buffer[] = [];
    let bytes = 0;
    const closed = new Promise((resolve) => this.#child.once("close", resolve));
    this.#child.stdout!.on("data", (chunk: Buffer) => {
      chunks.push(chunk);
      bytes += chunk.length;
    });
    // A ring has 4 MB.
    await until("the reader has what the ring held", () => bytes > 3 << 20);
    this.#child.kill("SIGINT");
    await closed;
    writeFileSync(file, Buffer.concat(chunks));
    return file;
  }
}

labTest(
  "a slow reader, a full disk and the end of a container harm neither router nor file; the kernel's path is captured, too",
  { hosts: 2, timeout: 300_000 },
  async ({ hosts, folder }) => {
    const [h1, h2] = hosts;
    const [c1, c2] = await pair(hosts, "--encryption", "off");
    await carriersAre([
      [h1, { h2: "fastdp" }],
      [h2, { h1: "fastdp" }],
    ]);
    const disk = join(folder, "disk");
    mkdirSync(disk);
    assert.equal((await execute("mount", ["-t", "tmpfs", "-o", "size=300k", "none", disk])).code, 0);
    try {
      const peer = await RunningCapture.start(h1, join(folder, "peer.pcapng"), "h2");
      const full = await RunningCapture.start(h1, join(disk, "full.pcapng"), "weave-vx");
      const slow = new SlowReader(h1, "peer:h2");
      await until("three capture", async () => (await h1.ok("status")).split("Capturing:").length === 4);
      assert.equal(await c1.ping("10.32.0.2", { count: 5 }), 5);
      await transfer(c1, c2, "10.32.0.2", 40 << 20);
      const { code, stderr } = await full.ended;
      assert.equal(code, 1);
      assert.match(stderr, /^cannot write \/.*\/full\.pcapng: ENOSPC.*\n'df .*' shows what is full/);
      assert.ok(readCapture(full.file).packets.length > 0);
      await peer.stop();
      const { packets } = readCapture(peer.file);
      await readable(peer.file, packets.length);
      if (noTshark === undefined) {
        const echoes = await tshark(peer.file, ["ip.src", "frame.interface_name"], "icmp");
        assert.deepEqual(echoes.slice(0, 2), [
          ["10.32.0.1", "weave-vx"],
          ["10.32.0.2", "weave-vx"],
        ]);
        assert.equal(echoes.length, 10);
        assert.deepEqual(await tshark(peer.file, ["frame.number"], "eth.type == 0x88b5"), []);
      }
      const { dropped, packets: late } = readCapture(await slow.read(join(folder, "slow.pcapng")));
      assert.ok(dropped > 0 && late.length > 0, `the slow reader has ${late.length} frames, and has lost ${dropped}`);
      assert.equal(await c1.ping("10.32.0.2", { count: 3 }), 3);
    } finally {
      await execute("umount", ["-l", disk]);
    }
    const container = await RunningCapture.start(h1, join(folder, "container.pcapng"), `netns:${c1.ns}`);
    await h1.ok("detach", `netns:${c1.ns}`);
    assert.match((await container.ended).stderr, /: the interface is gone\n$/);
    const killed = h1.spawn(["env", ...environmentOf(h1), WEAVE, "capture", "h2"]);
    await until("it captures", async () => /Capturing/.test(await h1.ok("status")));
    killed.kill("SIGKILL");
    await until("the capture has ended with its command", async () => !/Capturing/.test(await h1.ok("status")));
    // It also ends whole when the router does.
    const last = await RunningCapture.start(h1, join(folder, "last.pcapng"), "h2", "icmp");
    assert.ok((await c2.ping("10.32.0.2", { count: 1 })) > 0);
    process.kill(h1.routerPid!, "SIGKILL");
    const { code, stderr } = await last.ended;
    assert.deepEqual([code, /^the capture was interrupted after \d+ frames: /.test(stderr)], [1, true], stderr);
    readCapture(last.file);
  },
);
