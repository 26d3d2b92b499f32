import assert from "node:assert/strict";
import { statSync } from "node:fs";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { ServiceNamespaces } from "#docker/services/service-namespaces.js";
import type { ServiceAddress } from "#src/linux/firewall/services/service-address.js";
import { removeStaleFlows } from "#src/linux/firewall/services/service-flows.js";
import { iptablesServiceRules, nftServiceRules } from "#src/linux/firewall/services/service-rules.js";
import { namedNetns } from "#src/linux/netns/netns.js";
import { silentLog } from "#src/log.js";
import { evenness } from "#test/lab/chi-squared.js";
import { Background, must, Namespace } from "#test/lab/namespace.js";
import { hostTestsImpossible, programMissing } from "#test/lab/requirements.js";
import { until } from "#test/lab/wait.js";

/** Rules of service addresses between real namespaces on one bridge, without a router. */

const TRAFFIC = new URL("../lab/service-traffic.js", import.meta.url).pathname;
const skip = hostTestsImpossible() ?? programMissing("conntrack", "conntrack") ?? false;
const VIP = "10.9.1.2";
const PORT = "80";
/** The probability of a false alarm. */
const RARE = 1e-6;

/** Namespaces on a bridge: `client`, and servers that greet with their addresses. */
class Wire {
  readonly client: Namespace;
  readonly servers: Background[] = [];
  readonly #prefix: string;
  readonly #names: string[] = [];

  private constructor(prefix: string) {
    this.#prefix = prefix;
    this.client = new Namespace(`${prefix}client`);
  }

  static async make(kind: string, servers: number): Promise<Wire> {
    const wire = new Wire(`svc${process.pid}${kind}`);
    try {
      await wire.#fill(servers);
      return wire;
    } catch (error) {
      await wire.dispose();
      throw error;
    }
  }

  async #fill(servers: number): Promise<void> {
    await must("ip", "netns", "add", this.#own("bridge"));
    this.#names.push("bridge");
    await must("ip", "-n", this.#own("bridge"), "link", "add", "name", "br", "up", "type", "bridge");
    await this.add("client", "10.9.1.100");
    for (let i = 0; i < servers; i++) {
      const address = taskAddress(i);
      const server = await this.add(`s${i}`, address);
      this.servers.push(await background(server, "serve", PORT, address));
    }
  }

  /** The path of a namespace, for nsenter. */
  path(name = "client"): string {
    return namedNetns(this.#own(name));
  }

  async add(name: string, address: string): Promise<Namespace> {
    const ns = this.#own(name);
    await must("ip", "netns", "add", ns);
    this.#names.push(name);
    await must(
      "ip",
      "-n",
      this.#own("bridge"),
      "link",
      "add",
      "name",
      name,
      "master",
      "br",
      "up",
      "type",
      "veth",
      "peer",
      "name",
      "eth0",
      "netns",
      ns,
    );
    await must("ip", "-n", ns, "link", "set", "lo", "up");
    await must("ip", "-n", ns, "address", "add", `${address}/24`, "dev", "eth0");
    await must("ip", "-n", ns, "link", "set", "eth0", "up");
    return new Namespace(ns);
  }

  /** Ends a server as a power cut does: no packet reports it. */
  async cut(index: number): Promise<void> {
    await must("ip", "-n", this.#own("bridge"), "link", "delete", `s${index}`);
  }

  async dispose(): Promise<void> {
    for (const server of this.servers) server.kill();
    for (const name of this.#names) await must("ip", "netns", "delete", this.#own(name));
  }

  #own(name: string): string {
    return `${this.#prefix}${name}`;
  }
}

const taskAddress = (index: number) => `10.9.1.${11 + index}`;
const tasks = (...indexes: number[]) => indexes.map(taskAddress);
const service = (targets: readonly string[], draining: readonly string[] = []): ServiceAddress => ({
  address: VIP,
  targets,
  draining,
});

async function background(ns: Namespace, ...args: string[]): Promise<Background> {
  const started = new Background(ns.spawn([process.execPath, TRAFFIC, ...args]));
  await started.ready;
  return started;
}

/** Runs a program of traffic in the client's namespace to its end. */
async function traffic<T = Record<string, number>>(wire: Wire, ...args: string[]): Promise<T> {
  return JSON.parse(await wire.client.must(process.execPath, TRAFFIC, ...args)) as T;
}

interface Held {
  readonly server: string;
  readonly sent: number;
  readonly received: number;
  readonly end: string;
}

/** The tests that cut a server each have their own. */
const SERVERS = 6;

for (const rules of [nftServiceRules, iptablesServiceRules]) {
  let wire: Wire | undefined;
  before(async () => {
    if (!skip) wire = await Wire.make(rules.kind, SERVERS);
  });
  after(() => wire?.dispose());
  const on = (name: string, run: (wire: Wire) => Promise<void>) =>
    test(`${rules.kind}: ${name}`, { skip, timeout: 120_000 }, () => run(wire!));

  on(
    "1,000 connections are spread evenly, datagrams and pings arrive, and no task is tried that is not there",
    async (wire) => {
      await rules.apply(wire.path(), [service(tasks(0, 1, 2))]);
      const counts = await traffic(wire, "count", VIP, PORT, "1000");
      assert.deepEqual(Object.keys(counts).sort(), tasks(0, 1, 2));
      assert.ok(evenness(Object.values(counts)) > RARE, JSON.stringify(counts));
      const answers = await traffic(wire, "udp", VIP, PORT, "100");
      assert.deepEqual(Object.keys(answers).sort(), tasks(0, 1, 2));
      assert.equal(await wire.client.ping(VIP), 3);
      // A task of the service is a client, too; one of its connections may lead to itself.
      await rules.apply(wire.path("s0"), [service(tasks(0, 1))]);
      const s0 = new Namespace(wire.path("s0").split("/").at(-1)!);
      const own = JSON.parse(await s0.must(process.execPath, TRAFFIC, "count", VIP, PORT, "60")) as object;
      assert.deepEqual(Object.keys(own).sort(), tasks(0, 1));
      await rules.remove(wire.path());
      assert.doesNotMatch(await wire.client.must("sh", "-c", "nft list ruleset; iptables-save"), /weave/i);
    },
  );

  on("changes disturb no connection, also to tasks that get no new ones", async (wire) => {
    await rules.apply(wire.path(), [service(tasks(0, 1, 2))]);
    const held = await background(wire.client, "hold", VIP, PORT, "12");
    const stream = await background(wire.client, "stream", VIP, PORT);
    for (let i = 0; i < 20; i++) {
      const draining = tasks(i % 3);
      const services = [
        service(
          tasks(0, 1, 2, 3).filter((task) => !draining.includes(task)),
          draining,
        ),
      ];
      await rules.apply(wire.path(), services);
      assert.deepEqual(await removeStaleFlows(wire.path(), services), []);
    }
    const fates = JSON.parse(await held.end()) as Held[];
    assert.equal(fates.length, 12);
    for (const { sent, received, end } of fates) assert.deepEqual([end, received], ["", sent]);
    const opened = JSON.parse(await stream.end()) as { text: string }[];
    assert.deepEqual(
      opened.filter(({ text }) => !tasks(0, 1, 2, 3).includes(text)),
      [],
      "each of the new connections was served",
    );
  });

  on("a task that is gone gets nothing, and its connections end; flows of UDP move to another", async (wire) => {
    const before = [service(tasks(4, 1))];
    await rules.apply(wire.path(), before);
    const held = await background(wire.client, "hold", VIP, PORT, "20");
    await wire.cut(4);
    const after = [service(tasks(1))];
    await rules.apply(wire.path(), after);
    const removed = await removeStaleFlows(wire.path(), after);
    assert.ok(removed.some(({ target }) => target === taskAddress(4)));
    assert.ok(!removed.some(({ target }) => target === taskAddress(1)));
    await sleep(500);
    const fates = JSON.parse(await held.end()) as Held[];
    const [gone, kept] = [4, 1].map((index) => fates.filter(({ server }) => server === taskAddress(index)));
    assert.ok(gone.length > 0 && kept.length > 0);
    for (const { end } of gone) assert.equal(end, "ECONNRESET");
    for (const { sent, received, end } of kept) assert.deepEqual([end, received], ["", sent]);
    assert.deepEqual(await traffic(wire, "count", VIP, PORT, "50"), { [taskAddress(1)]: 50 });
    // One flow: each datagram comes from the same port.
    const flow = wire.client.run(process.execPath, TRAFFIC, "udp", VIP, PORT, "30", "same");
    await sleep(300);
    await rules.apply(wire.path(), [service(tasks(2))]);
    await removeStaleFlows(wire.path(), [service(tasks(2))]);
    await flow;
    assert.deepEqual(await traffic(wire, "udp", VIP, PORT, "5", "same"), { [taskAddress(2)]: 5 });
  });

  on("without a task each connection is refused at once, also those that are open", async (wire) => {
    await rules.apply(wire.path(), [service(tasks(5))]);
    const held = await background(wire.client, "hold", VIP, PORT, "3");
    await wire.cut(5);
    await rules.apply(wire.path(), [service([])]);
    await removeStaleFlows(wire.path(), [service([])]);
    assert.deepEqual(await traffic(wire, "count", VIP, PORT, "20"), { "error ECONNREFUSED": 20 });
    assert.deepEqual(await traffic(wire, "udp", VIP, PORT, "5"), { "error ECONNREFUSED": 5 });
    assert.match((await wire.client.run("ping", "-c", "1", "-W", "2", VIP)).stdout, /Port Unreachable/i);
    for (const { end } of JSON.parse(await held.end()) as Held[]) assert.equal(end, "ECONNRESET");
    // The next task serves at once: no flow of the time without one is left.
    await rules.apply(wire.path(), [service(tasks(1))]);
    assert.deepEqual(await traffic(wire, "count", VIP, PORT, "20"), { [taskAddress(1)]: 20 });
  });

  on("a flow from before the rules is served after them", async (wire) => {
    await rules.remove(wire.path());
    assert.deepEqual(await traffic(wire, "udp", VIP, PORT, "1", "same"), { timeout: 1 });
    const flow = wire.client.run(process.execPath, TRAFFIC, "udp", VIP, PORT, "12", "same");
    await sleep(700);
    const services = [service(tasks(0))];
    await rules.apply(wire.path(), services);
    await removeStaleFlows(wire.path(), services);
    const counts = JSON.parse((await flow).stdout) as Record<string, number>;
    assert.ok(counts[taskAddress(0)] > 0, JSON.stringify(counts));
  });

  on("hundreds of services and thousands of tasks are one change", async (wire) => {
    const address = (n: number) => `10.${20 + (n >> 16)}.${(n >> 8) & 255}.${n & 255}`;
    const many = Array.from({ length: 300 }, (_, i) => ({
      address: address(100_000 + i),
      targets: Array.from({ length: 20 }, (_, task) => address(i * 20 + task)),
      draining: [],
    }));
    const large = {
      address: address(200_000),
      targets: Array.from({ length: 5_000 }, (_, i) => address(i)),
      draining: [],
    };
    // Of iptables each task is a rule: fewer, lest the test take long.
    const some = rules.kind === "nft" ? [...many, large] : many.slice(0, 50);
    await rules.apply(wire.path(), [...some, service(tasks(0, 1))]);
    const counts = await traffic(wire, "count", VIP, PORT, "40");
    assert.deepEqual(Object.keys(counts).sort(), tasks(0, 1));
  });
}

test("a namespace that is gone is an error, and nothing but addresses becomes a rule", { skip }, async () => {
  const hostile = [{ address: VIP, targets: ["10.9.1.3 }; flush ruleset; add table ip x"], draining: [] }];
  for (const rules of [nftServiceRules, iptablesServiceRules]) {
    await assert.rejects(rules.apply("/run/netns/svc-none", [service([])]), /WEAVE|No such file/);
    await assert.rejects(rules.apply("/proc/self/ns/net", hostile), /no IPv4 address/);
  }
});

test("only namespaces whose rules differ are changed; one that ends midway is no failure; the others lose them with the network", {
  skip,
  timeout: 180_000,
}, async () => {
  const names = [0, 1, 2].map((i) => `svc${process.pid}n${i}`);
  const namespaces = new ServiceNamespaces(silentLog);
  const rulesIn = (name: string) => must("ip", "netns", "exec", name, "nft", "list", "ruleset");
  try {
    for (const name of names) await must("ip", "netns", "add", name);
    const places = names.map((name) => ({ path: namedNetns(name), inode: statSync(namedNetns(name)).ino }));
    const settled = async (changes: number) =>
      until(`${changes} changes`, () => namespaces.status.changes === changes, 20_000);
    const set = (targets: readonly string[][]) =>
      namespaces.set(targets.map((each, i) => ({ netns: places[i], services: [service(each)] })));
    set([tasks(0), tasks(0), tasks(0)]);
    await settled(3);
    set([tasks(0), tasks(0, 1), tasks(0)]);
    await settled(4);
    assert.match(await rulesIn(names[1]), /mod 2/);
    await must("ip", "netns", "delete", names[2]);
    set([tasks(2), tasks(0, 1), tasks(2)]);
    await settled(5);
    await until("the one that has ended is forgotten", () => namespaces.status.namespaces === 2);
    assert.deepEqual([namespaces.status.failures, namespaces.status.problem], [0, ""]);
    // What is not known yet stays as it is; a namespace that is not in the list has no rules.
    namespaces.set([{ netns: places[0], services: undefined }]);
    await settled(6);
    assert.match(await rulesIn(names[0]), /weave_services/);
    assert.doesNotMatch(await rulesIn(names[1]), /weave_services/);
    // A router that starts knows nothing of the rules of the last one.
    const next = new ServiceNamespaces(silentLog);
    next.set([{ netns: places[0], services: [] }]);
    await until("the old rules are gone", async () => !(await rulesIn(names[0])).includes("weave_services"));
    next.stop();
  } finally {
    namespaces.stop();
    for (const name of names) await must("ip", "netns", "delete", name).catch(() => {});
  }
});
