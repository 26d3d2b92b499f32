/** `weave ping` and `weave trace` on real hosts: carriers, relays, and each place where the way of frames can end. */
import assert from "node:assert/strict";
import { carriersAre, join, tunnelPackets } from "#test/lab/fastdp.js";
import type { Host } from "#test/lab/host.js";
import { Shapes } from "#test/lab/json-shape.js";
import type { Lab } from "#test/lab/lab.js";
import { labTest } from "#test/lab/lab-test.js";
import type { Namespace } from "#test/lab/namespace.js";
import { connected, until } from "#test/lab/wait.js";

/** The parts of the documents that these tests look at. */
interface Figures {
  readonly Sent: number;
  readonly Answered: number;
  readonly LossPercent: number;
}
interface Ping {
  readonly Target: { readonly NickName: string; readonly Name: string; readonly Address: string | null };
  readonly Via: string | null;
  readonly ViaNickName: string | null;
  readonly Carrier: string | null;
  readonly Encrypted: boolean | null;
  readonly Host: Figures | null;
  readonly Container: Figures | null;
  readonly Problem: string | null;
}
interface Finding {
  readonly Step: number;
  readonly Why: string;
  readonly Next: string;
}
interface Trace {
  readonly Reached: boolean;
  readonly Legs: readonly (Ping & {
    readonly NickName: string;
    readonly Reason: string | null;
    readonly Small: Figures;
    readonly Full: Figures;
  })[];
  readonly EndToEnd: { readonly Host: Figures | null; readonly Container: Figures | null };
  readonly End: Finding | null;
  readonly Notes: readonly Finding[];
}

const shapes = new Shapes();

async function ping(host: Host, ...args: string[]): Promise<Ping> {
  const series = args.includes("-c") ? [] : ["-c", "2", "-i", "0.1"];
  const { stdout, stderr } = await host.weave("ping", ...series, ...args, "--json");
  assert.notEqual(stdout, "", stderr);
  shapes.check("ping", stdout, args.join(" "));
  return JSON.parse(stdout);
}

async function trace(host: Host, ...args: string[]): Promise<Trace> {
  const { code, stdout, stderr } = await host.weave("trace", ...args, "--json");
  assert.notEqual(stdout, "", stderr);
  shapes.check("trace", stdout, args.join(" "));
  const document = JSON.parse(stdout) as Trace;
  assert.equal(code, document.Reached ? 0 : 2);
  return document;
}

/** Three hosts in a line, and a fourth that UDP does not reach; a container on each of the first three, "database" on the third. */
async function inLine({ hosts }: Lab): Promise<Namespace[]> {
  const [h1, h2, h3, h4] = hosts;
  await join(h4, [[h2, "stream"]]);
  const flags = ["--no-discovery", "--password", "s3cret", "--dns-listen-address", "127.0.0.1:5300"];
  await Promise.all(hosts.map((host) => host.launch(...flags)));
  for (const host of [h1, h3, h4]) await host.ok("connect", h2.address);
  await connected(h2, 3);
  const containers = await Promise.all([h1, h2, h3].map((host, i) => host.attach("c", `10.32.0.${i + 1}/12`)));
  await h3.ok("dns-add", "10.32.0.3", `netns:${containers[2].ns}`, "-h", "database");
  await carriersAre([[h2, { h1: "sleeve", h3: "sleeve", h4: "stream" }]]);
  const [c1] = containers;
  await until("the ends reach each other", async () => (await c1.ping("10.32.0.3", { count: 1 })) > 0);
  return containers;
}

async function wayIsWell({ hosts: [h1, h2, h3] }: Lab, c1: Namespace): Promise<void> {
  const [direct, relayed, named, own] = await Promise.all([
    ping(h1, "h2"),
    ping(h1, h3.peerName),
    ping(h1, "database"),
    ping(h1, "h1"),
  ]);
  assert.deepEqual(
    [direct.ViaNickName, direct.Carrier, direct.Encrypted, direct.Host!.Answered, direct.Container],
    ["h2", "sleeve", true, 2, null],
  );
  assert.deepEqual([relayed.ViaNickName, relayed.Target.NickName, relayed.Host!.Answered], ["h2", "h3", 2]);
  assert.deepEqual([named.Target.Address, named.Target.NickName, named.Target.Name], ["10.32.0.3", "h3", "database"]);
  assert.deepEqual([named.Host!.Answered, named.Container!.Answered, own.Host], [2, 2, null]);

  const [{ code, stdout }, other, byMac] = await Promise.all([
    h1.weave("trace", `netns:${c1.ns}`, "database"),
    trace(h1, "10.32.0.3", "10.32.0.2"),
    c1.must("cat", "/sys/class/net/ethwe/address").then((mac) => trace(h3, mac.trim())),
  ]);
  assert.equal(code, 0);
  const times = "round trip [\\d.]+ ms \\([\\d.]+ ms to [\\d.]+ ms\\)";
  for (const line of [
    ` 1 {2}netns:${c1.ns} \\(10\\.32\\.0\\.1/12, MAC [0-9a-f:]{17}\\) on h1`,
    "       bridge port vethwepl\\w+ forwarding; interface up, MTU 1376",
    "       answers its host within [\\d.]+ ms",
    ` 2 {2}h1 -> h2: sleeve, encrypted, MTU 1394\n {7}10 probes, 0 % lost; ${times}\n {7}of 1376 bytes: 3 probes, 0 % lost; ${times}`,
    " 3 {2}h2 -> h3: sleeve, encrypted, MTU 1394",
    " 4 {2}database \\(10\\.32\\.0\\.3/12, MAC [0-9a-f:]{17}\\) on h3",
    `     from end to end, h1 to database: 5 probes, 0 % lost; ${times}`,
  ])
    assert.match(stdout, new RegExp(`^ *${line}$`, "m"));
  assert.match(stdout, /\nThe way reaches database, by one relay\.\n$/);
  // From a host that is neither end, and of something on the other side of the network.
  assert.deepEqual([other.Reached, other.Legs.map(({ NickName }) => NickName)], [true, ["h3"]]);
  assert.deepEqual([byMac.Reached, byMac.EndToEnd.Container?.Answered], [true, 5]);
  assert.equal((await h2.weave("trace", "h2", "h1")).code, 0);
}

async function badTargets({ hosts: [h1, h2] }: Lab): Promise<void> {
  await h2.attach("other", "10.47.1.1/24");
  const [mistyped, outside, free, answered, subnet, back] = await Promise.all([
    h1.weave("ping", "databse"),
    h1.weave("trace", "192.0.2.9"),
    h1.weave("trace", "10.32.0.99", "--json"),
    h1.weave("ping", "h2", "-c", "0"),
    trace(h1, "10.32.0.1", "10.47.1.1"),
    trace(h1, "10.47.1.1", "10.32.0.1"),
  ]);
  assert.equal(mistyped.code, 1);
  assert.match(
    mistyped.stderr,
    /no peer and no container of this network is called databse; did you mean database\?\n/,
  );
  assert.match(outside.stderr, /^nothing answers for 192\.0\.2\.9, which is outside of the range 10\.32\.0\.0\/12/);
  assert.match(free.stderr, /"Code":"WEAVE_PROBE_TARGET","Message":"nothing answers for 10\.32\.0\.99, and h\d/);
  assert.match(answered.stderr, /invalid value "0" for -c/);
  assert.match(subnet.End!.Why, /no address of netns:.* is in a subnet of .* \(10\.47\.1\.0\/24\)/);
  assert.match(back.End!.Why, /^10\.32\.0\.1 is in no subnet of netns:.* \(10\.47\.1\.0\/24\)/);
  assert.deepEqual([subnet.End!.Step, back.End!.Step], [1, 1]);
}

async function containerFaults(lab: Lab, [, c2, c3]: readonly Namespace[]): Promise<void> {
  const [h1] = lab.hosts;
  await c2.must("ip", "address", "add", "10.32.0.3/32", "dev", "ethwe");
  const twice = await trace(h1, "10.32.0.3");
  const claim = [...twice.Notes, ...(twice.End ? [twice.End] : [])].find(({ Why }) => Why.includes("answer for"));
  assert.match(
    claim?.Why ?? "",
    /^2 interfaces answer for 10\.32\.0\.3: [0-9a-f:]{17} on h[23] and [0-9a-f:]{17} on h[23]$/,
  );
  await c2.must("ip", "address", "del", "10.32.0.3/32", "dev", "ethwe");

  await c3.must("ip", "link", "set", "ethwe", "down");
  // Hosts keep the list of their interfaces for some times its duration.
  let down: Trace["End"] = null;
  await until("the interface is found to be down", async () => {
    down = (await trace(h1, "database")).End;
    return down?.Why === "the interface of database is down";
  });
  assert.equal((down as Trace["End"])?.Step, 4);
  const unanswered = await ping(h1, "database", "-W", "0.3");
  assert.equal(unanswered.Problem, "database does not answer, but its host h3 does");

  await lab.removeNamespace(c3.ns);
  await until("the container is found to have ended", async () => {
    const { End } = await trace(h1, "10.32.0.3");
    return End?.Step === 4 && End.Why.includes("has ended");
  });
}

labTest(
  "probes show carriers, relays, losses and faults, and where the way of frames ends",
  { hosts: 4, timeout: 300_000 },
  async (lab) => {
    const [h1, h2, h3, h4] = lab.hosts;
    const containers = await inLine(lab);
    await wayIsWell(lab, containers[0]);

    const byTcp = await trace(h1, "h4");
    assert.deepEqual(
      byTcp.Legs.map(({ NickName, Carrier }) => `${NickName} ${Carrier}`),
      ["h1 sleeve", "h2 stream"],
    );
    assert.equal(byTcp.Reached, true);
    assert.match(byTcp.Legs[1].Reason ?? "", /UDP does not pass/);
    assert.match(byTcp.Notes[0].Why, /^h4: frames use stream: UDP does not pass/);
    assert.match(byTcp.Notes[0].Next, /open UDP 6783/);

    await badTargets(lab);
    await containerFaults(lab, containers);

    const drop = `udp sport 6783 ip saddr ${h3.address} numgen inc mod 3 0 drop`;
    const lose = `add table inet lose; add chain inet lose input { type filter hook input priority -300; }; add rule inet lose input ${drop}`;
    await h2.must("nft", lose);
    const lossy = await trace(h1, "h3");
    assert.deepEqual([lossy.Reached, lossy.Legs[0].Small.LossPercent], [true, 0]);
    assert.ok(lossy.Legs[1].Small.LossPercent + lossy.Legs[1].Full.LossPercent > 0, JSON.stringify(lossy.Legs[1]));
    assert.match(lossy.Notes[0].Why, /^[\d.]+ % of the probes from h2 to h3 or of their answers are lost$/);
    await h2.must("nft", "delete table inet lose");

    await h2.cutOff(h3);
    const [cut, text] = await Promise.all([trace(h1, "h3"), h1.weave("ping", "h3", "-c", "1", "-W", "0.3")]);
    assert.deepEqual([cut.End?.Step, cut.Legs[0].Small.Answered], [3, 10]);
    assert.match(cut.End?.Why ?? "", /^no frame passes from h2 to h3 and back|^h2 has no route from there on/);
    assert.equal(text.code, 1);
    assert.match(
      text.stderr,
      /^h3 (does not answer|is not reachable).*\n'weave trace h3' shows where the way ends\.\n$/,
    );
    assert.equal((await trace(h4, "h1")).Reached, true, "the other hosts go on");
  },
);

labTest(
  "probes take the kernel's path where frames do",
  { hosts: 2, timeout: 120_000 },
  async ({ hosts: [h1, h2] }) => {
    await h1.launch("--encryption", "off");
    await h2.launch("--encryption", "off", h1.address);
    await h2.attach("c", "10.32.0.2/12");
    await carriersAre([[h1, { h2: "fastdp" }]]);
    const before = await tunnelPackets(h1);
    const started = performance.now();
    const by = await ping(h1, "h2", "-c", "50", "-i", "0.05");
    assert.deepEqual([by.Carrier, by.Encrypted, by.Host?.Answered], ["fastdp", false, 50]);
    const { sent } = await tunnelPackets(h1);
    // Heartbeats take it as well: two a second, and their answers.
    const heartbeats = 4 * Math.ceil((performance.now() - started) / 1_000) + 4;
    const probes = sent - before.sent - heartbeats;
    assert.ok(probes >= 25, `${sent - before.sent} frames took the tunnel, up to ${heartbeats} of them heartbeats`);
    const { Reached, Legs } = await trace(h1, "10.32.0.2");
    assert.deepEqual([Reached, Legs[0].Carrier, Legs[0].Full.Answered], [true, "fastdp", 3]);
  },
);
