import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { Host } from "#test/lab/host.js";
import { inLab, type Lab } from "#test/lab/lab.js";
import { labTest } from "#test/lab/lab-test.js";
import type { Namespace } from "#test/lab/namespace.js";
import { hostTestsImpossible } from "#test/lab/requirements.js";
import { connected, until } from "#test/lab/wait.js";
import { seededRandom } from "#test/sim/virtual-time.js";

const skip = hostTestsImpossible() ?? false;

/** Three hosts that are connected before the first request for an address. */
async function launchAll(lab: Lab, ...args: string[]): Promise<void> {
  const [first] = lab.hosts;
  await Promise.all(lab.hosts.map((host) => host.launch("--ipalloc-init", `consensus=${lab.hosts.length}`, ...args)));
  for (const host of lab.hosts) if (host !== first) await host.ok("connect", first.address);
  for (const host of lab.hosts) await connected(host, lab.hosts.length - 1, 30_000);
}

const lines = (text: string) => text.split("\n").filter((line) => line !== "");

labTest(
  "containers get addresses by themselves: attach, ps, status, detach; each pings each",
  { hosts: 3, timeout: 120_000 },
  async (lab) => {
    const [h1, h2, h3] = lab.hosts;
    await launchAll(lab, "--ipalloc-range", "10.2.0.0/16");
    assert.match(
      await h1.ok("status"),
      /Service: ipam\n {9}Status: idle\n {10}Range: 10\.2\.0\.0\/16\n {2}DefaultSubnet: 10\.2\.0\.0\/16\n/,
    );
    assert.match(
      await h1.ok("status", "ipam"),
      /^idle: \S+ is divided among the peers when the first address is asked for/,
    );
    const made = await Promise.all(lab.hosts.map((host) => host.attachAny("c")));
    const addresses = made.map(({ address }) => address);
    assert.equal(new Set(addresses).size, 3);
    for (const { container } of made)
      for (const address of addresses)
        await until(`${address} answers`, async () => (await container.ping(address, { count: 1 })) === 1, 30_000);

    // The shapes of Weave Net.
    const [own, ...others] = lines(await h1.ok("status", "ipam"));
    assert.match(own, /^02:00:00:00:00:01\(h1\) {18} +\d+ IPs \(\d\d\.\d% of total\) \(1 active\)$/);
    for (const line of others) assert.match(line, /^02:00:00:00:00:0[23]\(h[23]\) +\d+ IPs \(\d\d\.\d% of total\) $/);
    const total = [own, ...others].reduce((sum, line) => sum + Number(/ (\d+) IPs/.exec(line)![1]), 0);
    assert.equal(total, 65_536);
    assert.match(await h1.ok("status"), /Status: ready\n/);

    // Repeating attach changes nothing; a subnet adds an address to the same interface.
    const [{ container, address }] = made;
    const netns = `netns:${container.ns}`;
    assert.equal((await h1.ok("attach", netns)).trim(), address);
    const second = (await h1.ok("attach", "net:10.2.200.0/24", "ip:10.7.0.9/24", netns)).trim();
    assert.match(second, /^10\.2\.200\.\d+ 10\.7\.0\.9$/);
    const [exposed, listed] = lines(await h1.ok("ps"));
    assert.match(exposed, /^weave:expose 02:00:00:00:00:01$/);
    const [extra] = second.split(" ");
    assert.match(listed, new RegExp(`^\\S{1,12} [0-9a-f:]{17} ${address}/16 ${extra}/24 10\\.7\\.0\\.9/24$`));
    assert.equal(lines(await h1.ok("ps", netns, "nothing"))[0].split(" ")[0], netns.slice(0, 12));

    assert.equal((await h1.ok("detach", "net:10.2.200.0/24", netns)).trim(), extra);
    assert.equal((await h1.ok("detach", "net:10.2.200.0/24", netns)).trim(), "");
    assert.equal((await h1.ok("detach", netns)).trim(), address);
    assert.equal((await h1.ok("detach", "10.7.0.9/24", netns)).trim(), "10.7.0.9");
    assert.equal((await container.run("ip", "link", "show", "ethwe")).code, 1);
    assert.equal((await h1.api("GET", "/ip")).body, '{"owned":[]}');

    // Who has what, and why.
    assert.match(
      await h1.ok("ipam", "explain", addresses[1]),
      /owned by 02:00:00:00:00:0\d\(h\d\) since .*, epoch 0, version \d+\n/,
    );
    assert.match(await h2.ok("ipam", "explain", addresses[1]), /held on this host by ns[0-9a-f]+ as /);
    assert.match(
      await h3.ok("ipam", "explain", "h1"),
      /^02:00:00:00:00:01\(h1\) owns \d+ IPs \(\d+\.\d% of 10\.2\.0\.0\/16\) in \d+ parts\n/,
    );
    assert.match((await h1.weave("ipam", "explain", "unknown")).stderr, /no peer called "unknown" owns any addresses/);
  },
);

labTest(
  "expose and hide with addresses of IPAM; they are there again after a restart; metrics count them",
  { hosts: 2, timeout: 120_000 },
  async (lab) => {
    const [h1, h2] = lab.hosts;
    await launchAll(lab);
    const exposed = (await h1.ok("expose")).trim();
    assert.equal((await h1.ok("expose")).trim(), exposed);
    const { container, address } = await h2.attachAny("c");
    await until("the host answers", async () => (await container.ping(exposed, { count: 1 })) === 1);
    assert.deepEqual(JSON.parse((await h1.api("GET", "/ip")).body), {
      owned: [{ containerid: "weave:expose", addrs: [`${exposed}/12`] }],
    });
    assert.match((await h1.api("GET", "/metrics")).body, /weave_ips\{state="local-used"\} 1\n/);
    assert.match((await h1.api("GET", "/metrics")).body, /weave_max_ips 1048576/);
    await h1.ok("stop");
    await h1.launch("--ipalloc-init", "consensus=2", h2.address);
    assert.equal((await h1.ok("expose")).trim(), exposed);
    await until("the host answers again", async () => (await container.ping(exposed, { count: 1 })) === 1, 30_000);
    assert.equal((await h1.ok("hide")).trim(), exposed);
    assert.equal((await h1.ok("hide")).trim(), "");
    assert.equal((await h1.api("GET", "/ip")).body, '{"owned":[]}');
    // An address in use is rejected, and the error names the user.
    const refused = await h1.weave("expose", `${address}/12`);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /^Unable to claim: address \S+ is owned by other peer 02:00:00:00:00:02 \(h2\)\n$/);
    assert.equal(JSON.parse(await h1.report("{{json .IPAM}}")).ActiveIPs, 0);
  },
);

labTest(
  "the control API answers and rejects like Weave Net; blocked requests end by deadline, with their reason",
  { hosts: 1, timeout: 120_000 },
  async ({ hosts: [h1] }) => {
    await h1.launch(
      "--ipalloc-init",
      "consensus=3",
      "--ipalloc-range",
      "10.2.0.0/16",
      "--ipalloc-default-subnet",
      "10.2.1.0/24",
    );
    const expect = async (method: string, path: string, status: number, body: RegExp | string) => {
      const reply = await h1.api(method, path);
      if (typeof body === "string") assert.equal(reply.body, body);
      else assert.match(reply.body, body);
      assert.equal(reply.status, status, `${method} ${path}`);
    };
    await expect("GET", "/ipinfo/defaultsubnet", 200, "10.2.1.0/24");
    await expect("GET", "/ipinfo/tracker", 200, "\n");
    await expect("GET", "/ip/abc", 200, "");
    const late =
      /allocation for abc in 10\.2\.1\.0\/24: after 1 s it still waits for consensus on the first division of 10\.2\.0\.0\/16: quorum 2, known 1 of 1/;
    await expect("POST", "/ip/abc?timeout=1", 503, late);
    await expect("PUT", "/ip/abc/10.2.1.7/24?noErrorOnUnknown=true", 204, "");
    await expect("POST", "/ip/abc?timeout=soon", 400, /invalid timeout: "soon"/);
    assert.match(
      await h1.ok("status"),
      /Status: awaiting consensus \(quorum: 2, known: 1\)\n {8}Waiting: for consensus on the first division/,
    );
    const primed = await h1.weave("prime", "--timeout", "4");
    assert.equal(primed.code, 1);
    assert.match(primed.stderr, /^claim of 10\.2\.1\.7\/24 for abc: waits for consensus/);
    assert.match(primed.stderr, /prime: after 4 s it still waits for consensus .*\n.*'weave connect' them/);
    await h1.ok("stop");

    await h1.launch(
      "--ipalloc-init",
      "consensus=1",
      "--ipalloc-range",
      "10.2.0.0/16",
      "--ipalloc-default-subnet",
      "10.2.1.0/24",
    );
    await h1.ok("prime");
    await expect("POST", "/ip/abc", 200, "10.2.1.1/24");
    await expect("POST", "/ip/abc", 200, "10.2.1.1/24");
    await expect("POST", "/ip/abc/10.2.2.0/24", 200, "10.2.2.1/24");
    await expect("GET", "/ip/abc/10.2.2.0/24", 200, "10.2.2.1/24");
    await expect("POST", "/ip/abc/10.2.2.1/24", 400, /bits after network prefix are not all zero/);
    await expect("POST", "/ip/abc/10.9.0.0/24", 400, /range 10\.9\.0\.0\/24 out of bounds: 10\.2\.0\.0\/16/);
    await expect("PUT", "/ip/weave:expose/10.2.1.9/24", 204, "");
    await expect(
      "PUT",
      "/ip/x/10.2.1.9/24",
      400,
      /^Unable to claim: address 10\.2\.1\.9 is already owned by weave:expose/,
    );
    await expect("PUT", "/ip/x/10.2.1.255/24", 400, /^Unable to claim: address 10\.2\.1\.255 is the broadcast address/);
    await expect("DELETE", "/ip/abc/10.2.1.77", 400, "Unable to free: Free: address 10.2.1.77 not found for abc\n");
    await expect("DELETE", "/ip/abc/10.2.1.1", 204, "");
    await expect("DELETE", "/ip/abc", 204, "");
    await expect("DELETE", "/ip/abc", 400, "Delete: no addresses for abc\n");
    await expect("PATCH", "/ip/abc", 405, "Method Not Allowed\n");
    await expect("DELETE", "/peer/unknown", 400, /^no peer called "unknown" was ever seen here/);

    // As scripts for Weave Net do: the first address of a prefix outside the range.
    const [first, second] = [await h1.container("first"), await h1.container("second")];
    const noted = await h1.weave("attach", "10.22.1.0/24", `netns:${first.ns}`);
    assert.deepEqual([noted.code, noted.stdout.trim()], [0, "10.22.1.0"]);
    assert.match(noted.stderr, /^Note: 10\.22\.1\.0 is the network address of 10\.22\.1\.0\/24; /);
    await h1.ok("attach", "10.22.1.1/24", `netns:${second.ns}`);
    assert.equal(await second.ping("10.22.1.0", { count: 2 }), 2);
    const inRange = await h1.weave("attach", "10.2.1.0/24", `netns:${first.ns}`);
    assert.equal(inRange.code, 1);
    assert.match(inRange.stderr, /10\.2\.1\.0 is the network's own address of 10\.2\.1\.0\/24/);
    await h1.ok("stop");

    await h1.launch("--ipalloc-range", "");
    await expect("POST", "/ip/abc", 404, "404 page not found\n");
    assert.equal((await h1.weave("prime")).code, 4);
    assert.equal((await h1.weave("status", "ipam")).stderr, "ipam is off on this host\n");
    assert.doesNotMatch(await h1.ok("status"), /ipam/);
    assert.equal((await h1.api("GET", "/metrics")).status, 200);
    const container = await h1.container("c");
    const refused = await h1.weave("attach", `netns:${container.ns}`);
    assert.equal(refused.stderr, "IP address allocation must be enabled to use 'net:'\n");
    assert.equal((await h1.ok("attach", "10.32.0.1/12", `netns:${container.ns}`)).trim(), "10.32.0.1");
  },
);

labTest(
  "an ended container's address is free after 30 s; an unreachable host's after rmpeer; reset hands over at once",
  { hosts: 3, timeout: 240_000 },
  async (lab) => {
    const [h1, h2, h3] = lab.hosts;
    await launchAll(lab, "--ipalloc-range", "10.2.0.0/28");
    const { container } = await h1.attachAny("c");
    const before = (await h1.api("GET", "/ip")).body;
    await h1.must("true");
    await lab.removeNamespace(container.ns);
    await sleep(10_000);
    assert.equal((await h1.api("GET", "/ip")).body, before);
    await until("it is free again", async () => (await h1.api("GET", "/ip")).body === '{"owned":[]}', 40_000);

    // h3 owns a part after any first division.
    await h3.ok("attach", `netns:${(await h3.container("own")).ns}`);
    // All of a small range, while one host is away: the blocked request names their owner.
    const reachable = await h1.weave("rmpeer", "h3");
    assert.equal(reachable.code, 1);
    assert.match(reachable.stderr, /^02:00:00:00:00:03\(h3\) is reachable, and not dead\n/);
    for (const pid of [h3.supervisorPid, h3.routerPid]) process.kill(pid!, "SIGKILL");
    await until("h3 is unreachable", async () => /h3\).*- unreachable!/.test(await h1.ok("status", "ipam")), 30_000);
    let full = await h1.weave("attach", "--timeout", "3", `netns:${(await h1.container("w0")).ns}`);
    for (let i = 1; full.code === 0 && i < 16; i++)
      full = await h1.weave("attach", "--timeout", "3", `netns:${(await h1.container(`w${i}`)).ns}`);
    assert.equal(full.code, 1);
    assert.match(
      full.stderr,
      /are owned by unreachable peers: 02:00:00:00:00:03\(h3\)\nIf dead for good: 'weave rmpeer 02:00:00:00:00:03'\./,
    );
    assert.match(await h1.ok("rmpeer", "h3"), /^\d+ IPs taken over from h3\n$/);
    assert.equal(await h2.ok("rmpeer", "h3"), "0 IPs taken over from h3\n");
    await h1.ok("attach", `netns:${(await h1.container("more")).ns}`);

    await h2.ok("reset");
    await until(
      "h1 owns all",
      async () => /^02:00:00:00:00:01\(h1\) +16 IPs \(100\.0% of total\)/.test(await h1.ok("status", "ipam")),
      30_000,
    );
    // The unreachable host returns, and accepts the takeover.
    await h3.launch("--ipalloc-range", "10.2.0.0/28", "--ipalloc-init", "consensus=3", h1.address);
    await until(
      "h3 has merged it",
      async () => /^02:00:00:00:00:01\(h1\) +16 IPs/.test((await h3.ok("status", "ipam")).trimStart()),
      30_000,
    );
  },
);

/** Longer and larger by the environment: `WEAVE_STORM_SECONDS=300 WEAVE_STORM_CONTAINERS=200`. */
const STORM_SECONDS = Number(process.env.WEAVE_STORM_SECONDS ?? 30);
const STORM_CONTAINERS = Number(process.env.WEAVE_STORM_CONTAINERS ?? 30);

test(
  `${STORM_CONTAINERS} containers come and go for ${STORM_SECONDS} s while routers are killed and hosts cut off: no address twice, none lost`,
  { skip, timeout: (STORM_SECONDS + 240) * 1_000 },
  () =>
    inLab(3, async (lab) => {
      const seed = Number(process.env.WEAVE_STORM_SEED ?? 1);
      const random = seededRandom(seed);
      const pick = <T>(from: readonly T[]): T => from[random.below(from.length)];
      await launchAll(lab, "--ipalloc-range", "10.2.0.0/22");
      await lab.hosts[0].ok("prime");
      const running: { host: Host; container: Namespace; address: string }[] = [];
      let made = 0;
      let refused = 0;
      let kills = 0;
      let cuts = 0;
      const end = Date.now() + STORM_SECONDS * 1_000;
      const trouble = async () => {
        while (Date.now() < end) {
          await sleep(1_000 + random.below(4_000));
          const host = pick(lab.hosts);
          if (random.below(2) === 0 && host.routerPid !== undefined) {
            kills++;
            process.kill(host.routerPid, "SIGKILL");
          } else {
            cuts++;
            await host.cutOff(...lab.hosts.filter((other) => other !== host && random.below(2) === 0));
          }
        }
      };
      const work = async (worker: number) => {
        while (Date.now() < end) {
          if (running.length >= STORM_CONTAINERS || (running.length > 4 && random.below(6) === 0)) {
            const [{ host, container }] = running.splice(random.below(running.length), 1);
            const gone = await host.weave("detach", `netns:${container.ns}`);
            // The router was down: what the container held is freed when its namespace is seen to be gone.
            if (gone.code !== 0) await container.run("ip", "link", "delete", "ethwe");
            await lab.removeNamespace(container.ns);
            continue;
          }
          const host = pick(lab.hosts);
          const container = await host.container(`s${worker}x${made++}`);
          const { code, stdout } = await host.weave("attach", "--timeout", "5", `netns:${container.ns}`);
          if (code === 0) running.push({ host, container, address: stdout.trim() });
          else {
            refused++;
            await lab.removeNamespace(container.ns);
            // A router that was killed is away for a moment: it would be asked in vain many times.
            await sleep(500);
          }
        }
      };
      await Promise.all([trouble(), work(0), work(1)]);
      for (const host of lab.hosts) await host.cutOff();
      for (const host of lab.hosts) await until(`${host.name} runs`, () => host.routerPid !== undefined, 30_000);
      for (const host of lab.hosts) await connected(host, 2, 150_000);
      console.log(
        `seed ${seed}: ${made} attached, ${refused} refused, ${running.length} running, ${kills} kills, ${cuts} cuts`,
      );
      assert.ok(made - refused > STORM_SECONDS / 3, "too few containers were attached to show anything");

      assert.equal(new Set(running.map(({ address }) => address)).size, running.length, "an address was given twice");
      for (const { host, container, address } of running) {
        assert.match(
          await container.must("ip", "-4", "address", "show", "dev", "ethwe"),
          new RegExp(`inet ${address}/22 `),
        );
        const owned = (await host.api("GET", "/ip")).body;
        assert.ok(owned.includes(`"${address}/22"`), `${host.name} has forgotten ${address}`);
      }
      // What ended is free again, in all: nothing has leaked.
      const held = async () => {
        const bodies = await Promise.all(lab.hosts.map((host) => host.api("GET", "/ip")));
        return bodies.reduce((sum, { body }) => sum + (body.match(/\/22"/g)?.length ?? 0), 0);
      };
      await until(
        "as many addresses are held as containers run",
        async () => (await held()) === running.length,
        60_000,
      );
      const rings = async () =>
        new Set(
          await Promise.all(
            lab.hosts.map((host) =>
              host.report("{{json .IPAM.Entries}}").then((text) => text.replace(/"IsKnownPeer":\w+,/g, "")),
            ),
          ),
        );
      await until("all know the same ring", async () => (await rings()).size === 1, 60_000);
    }),
);
