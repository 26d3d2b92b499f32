import assert from "node:assert/strict";
import type { Host } from "#test/lab/host.js";
import type { Lab } from "#test/lab/lab.js";
import { labTest } from "#test/lab/lab-test.js";
import type { Namespace } from "#test/lab/namespace.js";
import { connected, until } from "#test/lab/wait.js";

async function withContainers(lab: Lab): Promise<Namespace[]> {
  return Promise.all(lab.hosts.map((host, i) => host.attach("c", `10.32.0.${i + 1}/12`)));
}

const pings = (from: Namespace, to: string) => async () => (await from.ping(to, { count: 1 })) > 0;

labTest(
  "three hosts: discovery makes a full mesh; broadcast and multicast reach all",
  { hosts: 3, timeout: 120_000 },
  async (lab) => {
    const [h1, h2, h3] = lab.hosts;
    await Promise.all(lab.hosts.map((host) => host.launch()));
    await h2.ok("connect", h1.address);
    await h3.ok("connect", h2.address);
    for (const host of lab.hosts) await connected(host, 2, 30_000);
    const [c1, c2, c3] = await withContainers(lab);
    await until(
      "all pings are answered",
      async () =>
        (await pings(c1, "10.32.0.2")()) && (await pings(c1, "10.32.0.3")()) && (await pings(c2, "10.32.0.3")()),
      30_000,
    );

    const received = [await c2.background("udp-receive", "7001"), await c3.background("udp-receive", "7001")];
    await c1.program("udp-send", "10.47.255.255", "7001", "to everyone", "3");
    assert.deepEqual(await Promise.all(received.map(({ result }) => result)), ["to everyone", "to everyone"]);

    const members = [
      await c2.background("udp-receive", "7002", "239.1.2.3", "10.32.0.2"),
      await c3.background("udp-receive", "7002", "239.1.2.3", "10.32.0.3"),
    ];
    await c1.program("udp-send", "239.1.2.3", "7002", "to the group", "3");
    assert.deepEqual(await Promise.all(members.map(({ result }) => result)), ["to the group", "to the group"]);
  },
);

labTest(
  "three hosts in a line without discovery: the middle one relays, and its death and return are survived",
  { hosts: 3, timeout: 180_000 },
  async (lab) => {
    const [h1, h2, h3] = lab.hosts;
    await Promise.all(lab.hosts.map((host) => host.launch("--no-discovery")));
    await h1.ok("connect", h2.address);
    await h3.ok("connect", h2.address);
    await connected(h2, 2);
    const [c1, , c3] = await withContainers(lab);
    await until("the ends reach each other", pings(c1, "10.32.0.3"));
    assert.equal((await h1.ok("status", "connections")).split("\n").filter((line) => line !== "").length, 1);
    const receiver = await c3.background("receive", "5003");
    const { stdout } = await c1.program("send", "10.32.0.3", "5003", String(50 << 20));
    assert.equal(await receiver.result, stdout.trim());
    assert.ok(
      Number(await h2.report("{{.Router.CaptureStats.recordsRelayed}}")) > 100,
      "the middle host did not relay",
    );

    await h2.ok("stop");
    await until("the middle one's death ends the way", async () => !(await pings(c1, "10.32.0.3")()));
    await h2.launch("--no-discovery");
    await until("the way is back", pings(c1, "10.32.0.3"), 60_000);
  },
);

labTest(
  "forget and connect --replace change the targets; live connections stay",
  { hosts: 3, timeout: 120_000 },
  async (lab) => {
    const [h1, h2, h3] = lab.hosts;
    await Promise.all(lab.hosts.map((host) => host.launch("--no-discovery")));
    await h1.ok("connect", h2.address);
    await connected(h1, 1);
    const forgotten = await h1.weave("forget", h2.address, "unknown-host");
    assert.deepEqual(
      [forgotten.code, forgotten.stderr],
      [1, "\"unknown-host\" is no target; 'weave status targets' lists them\n"],
    );
    assert.equal(await h1.ok("status", "targets"), "");
    await connected(h1, 1);
    await h1.ok("connect", h2.address);
    await h1.ok("connect", "--replace", h3.address);
    assert.equal(await h1.ok("status", "targets"), `${h3.address}\n`);
    await connected(h1, 2);
    const wrong = await h1.weave("connect", h2.address, "a:b:c", "no.such.host.invalid");
    assert.equal(wrong.code, 1);
    assert.match(
      wrong.stderr,
      /^invalid peer name "a:b:c", should be host\[:port\]\nlookup no\.such\.host\.invalid: .*; it is tried again\n$/,
    );
    const targets = `${h3.address}\n${h2.address}\nno.such.host.invalid\n`;
    assert.equal(await h1.ok("status", "targets"), targets, "what is a target counts, whatever else the call names");
  },
);

labTest(
  "a wrong password, and one at one end only, are refused: the refusing host shows the reason, the other one its possible causes",
  { hosts: 3, timeout: 120_000 },
  async (lab) => {
    const [h1, h2, h3] = lab.hosts;
    await h1.launch("--password", "right");
    await h2.launch("--password", "wrong", h1.address);
    await h3.launch(h1.address);
    const expectRefusal = async (host: Host, causes: string, reason: string) => {
      await until(`${host.name} shows what it can be`, async () =>
        (await host.ok("status", "connections")).includes(`failed      ${causes}`),
      );
      await until("the other end has the reason", () => h1.log().includes(reason));
    };
    await expectRefusal(
      h2,
      "the other host refused the password of this one: give all peers the same --password",
      "the passwords differ: give all peers the same --password",
    );
    await expectRefusal(
      h3,
      "the other host closed the connection at the first message: one end has a password and the other has none",
      "one end has a password and the other has none: give all peers the same --password, or none",
    );
    const shown = await h1.ok("status", "connections");
    assert.ok(!shown.includes("established"), "no peer was admitted");
    for (const [host, words] of [
      [h2, "the passwords differ"],
      [h3, "one end has a password and the other has none"],
    ] as const)
      assert.match(
        shown,
        new RegExp(`^<- ${host.address}:\\d+ +failed +${words}.*, refused (once|\\d+ times), last: `, "m"),
      );
  },
);

labTest(
  "two hosts with one name: both show the collision and what helps; with another name the second gets in",
  { hosts: 2, timeout: 180_000 },
  async (lab) => {
    const [h1, h2] = lab.hosts;
    await h1.launch();
    await h2.ok("launch", "--name", h1.peerName, "--nickname", "twin", h1.address);
    const words = `local "${h1.peerName}(twin)" and remote "${h1.peerName}(h1)" peer names collision: `;
    await until("the collision is shown", async () => (await h2.ok("status", "connections")).includes(words));
    const seen = await h1.ok("status", "connections");
    assert.match(
      seen,
      /^<- 10\.99\.0\.2:\d+ +failed +local .*\(h1\)" and remote .*\(twin\)".*--name.*machine-id.*refused/m,
    );
    assert.match(
      (await h1.api("GET", "/metrics")).body,
      /^weave_connections_refused_total\{reason="collision"\} [1-9]/m,
    );
    await h2.ok("stop");
    await h2.launch(h1.address);
    await connected(h1, 1);
    assert.ok(!(await h1.ok("status", "connections")).includes("collision"), "it is over, and still shown");
    await h1.ok("connect", h1.address);
    await until("a connection to ourselves is shown", async () =>
      (await h1.ok("status", "connections")).includes("cannot connect to ourself, retry: never"),
    );
  },
);

labTest(
  "frames go in clear between hosts that both trust each other's subnet, and only there",
  { hosts: 3, timeout: 180_000 },
  async (lab) => {
    const [h1, h2, h3] = lab.hosts;
    await h1.launch("--password", "x", "--trusted-subnets", "10.99.0.0/24");
    await h2.launch("--password", "x", "--trusted-subnets", "192.168.0.0/16,10.99.0.0/24", h1.address);
    await h3.launch("--password", "x", h1.address);
    for (const host of lab.hosts) await connected(host, 2, 30_000);
    const lines = (await h1.ok("status", "connections")).split("\n");
    assert.match(lines.find((line) => line.includes("(h2)"))!, / unencrypted fastdp /);
    assert.match(lines.find((line) => line.includes("(h3)"))!, / encrypted {3}sleeve /);
    const [c1, c2] = await withContainers(lab);
    await until("a ping is answered", pings(c1, "10.32.0.2"));
    const receiver = await c2.background("receive", "5004");
    const { stdout } = await c1.program("send", "10.32.0.2", "5004", String(20 << 20));
    assert.equal(await receiver.result, stdout.trim());
  },
);

labTest(
  "a container that moves to another host with its MAC and address is found there within seconds",
  { hosts: 3, timeout: 180_000 },
  async (lab) => {
    const [h1, h2, h3] = lab.hosts;
    await Promise.all(lab.hosts.map((host) => host.launch()));
    await h2.ok("connect", h1.address);
    await h3.ok("connect", h1.address);
    for (const host of lab.hosts) await connected(host, 2, 30_000);
    const [, , c3] = await withContainers(lab);
    const stays = await h1.attach("s", "10.32.0.9/12");
    const mac = "02:00:00:aa:bb:cc";
    const settle = async (host: Host, label: string) => {
      const container = await host.container(label);
      await host.ok("attach", "10.32.0.50/12", `netns:${container.ns}`);
      await container.must("ip", "link", "set", "ethwe", "address", mac);
      return container;
    };
    const before = await settle(h1, "old");
    await until(
      "it is reached from far and near",
      async () => (await pings(c3, "10.32.0.50")()) && (await pings(stays, "10.32.0.50")()),
    );
    await h1.ok("detach", "10.32.0.50/12", `netns:${before.ns}`);
    const after = await settle(h2, "new");
    await until("it speaks from its new host", async () => pings(after, "10.32.0.9")(), 20_000);
    await until("it is reached there from where it was", pings(stays, "10.32.0.50"), 20_000);
    await until("and from the third host", pings(c3, "10.32.0.50"), 20_000);
  },
);
