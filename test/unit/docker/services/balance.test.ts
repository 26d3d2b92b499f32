import assert from "node:assert/strict";
import { test } from "node:test";
import { networkServicesShape } from "#docker/engine/shapes.js";
import { describeClashes } from "#docker/services/address-clashes.js";
import { balance } from "#docker/services/balance.js";
import { type ListedService, listedNetwork } from "#docker/services/listed-service.js";
import { isStop } from "#docker/services/local-tasks.js";
import { RefusedAddresses } from "#docker/services/refused-addresses.js";
import { TASK_FORMAT, type TaskFields, type TaskState } from "#docker/services/task-record.js";
import type { PeerName } from "#mesh/peer.js";
import type { Versioned } from "#mesh/replica/record-format.js";
import { iptablesServices } from "#src/linux/firewall/services/iptables-services.js";
import { nftServices } from "#src/linux/firewall/services/nft-services.js";
import { staleFlows } from "#src/linux/firewall/services/service-flows.js";
import { VirtualClock } from "#test/sim/virtual-time.js";

const NETWORK = "abcdefghijklmnopqrstuvwxy";
const VIP = "10.1.1.2";
const [A, B] = ["02:00:00:00:00:0a", "02:00:00:00:00:0b"] as PeerName[];

const task = (n: number) => ({ endpoint: `e${n}`, address: `10.1.1.${10 + n}` });
const listing = (...numbers: number[]): ListedService[] => [{ address: VIP, tasks: numbers.map(task) }];
const record = (n: number, state: TaskState | "over", origin = A): Versioned<TaskFields> => ({
  network: NETWORK,
  endpoint: task(n).endpoint,
  service: VIP,
  address: task(n).address,
  state: state === "over" ? "serving" : state,
  origin,
  version: 1,
  tombstone: state === "over" ? 1_700_000_000 : 0,
});
/** The last digits of targets and of draining tasks, with all hosts reachable except those. */
function decided(listed: ListedService[], records: Versioned<TaskFields>[], ...unreachable: PeerName[]) {
  const services = balance({ listed, records, isReachable: (origin) => !unreachable.includes(origin) });
  const numbers = (addresses: readonly string[]) => addresses.map((address) => Number(address.split(".")[3]) - 10);
  return services.map(({ targets, draining }) => [numbers(targets), numbers(draining)]);
}

test("tasks without a record count as listed; a record by the task's own host counts more", () => {
  assert.deepEqual(decided(listing(2, 1), []), [[[1, 2], []]]);
  assert.deepEqual(decided(listing(1, 2), [record(1, "serving"), record(2, "draining")]), [[[1], [2]]]);
  assert.deepEqual(
    decided(listing(1, 2), [record(2, "over")]),
    [[[1], [2]]],
    "the engine still lists the endpoint of a task that is over",
  );
  assert.deepEqual(decided(listing(1), [record(2, "serving", B)]), [[[1, 2], []]], "the engine does not list it yet");
  assert.deepEqual(decided([], [record(2, "serving", B)]), [[[2], []]]);
  assert.deepEqual(decided([], [record(2, "over", B)]), []);
});

test("a task with records of several states has that of the live one, in any order", () => {
  const records = [record(1, "over"), { ...record(1, "draining"), version: 2 }];
  for (const each of [records, [...records].reverse()]) assert.deepEqual(decided(listing(1, 2), each), [[[2], [1]]]);
});

test("without a task that gets connections, all are refused; the address itself stays", () => {
  assert.deepEqual(decided(listing(1), [record(1, "draining")]), [[[], [1]]]);
  assert.deepEqual(decided(listing(1), [record(1, "over")]), [[[], [1]]]);
});

test("tasks on hosts that are not reached get connections only if there are no others", () => {
  const records = [record(1, "serving", A), record(2, "serving", B)];
  assert.deepEqual(decided(listing(1, 2), records, B), [[[1], [2]]]);
  assert.deepEqual(decided(listing(1, 2), records, A, B), [[[1, 2], []]]);
  // Of a host that is not reached only the engine's list counts.
  assert.deepEqual(decided(listing(1), records, B), [[[1], []]]);
  assert.deepEqual(decided([], records, A, B), []);
});

test("services without an address, endpoints without one, and other texts are left out", () => {
  const answer = networkServicesShape.parse({
    Services: {
      web: {
        VIP,
        Ports: [],
        LocalLBIndex: 257,
        Tasks: [{ Name: "web.1.x", EndpointID: "e1", EndpointIP: "10.1.1.11" }],
      },
      plain: { VIP: "", Tasks: [{ EndpointID: "e2", EndpointIP: "10.1.1.12" }] },
      six: { VIP: "fd00::2", Tasks: [{ EndpointID: "e3", EndpointIP: "fd00::3" }] },
      "": {
        VIP: "<nil>",
        Tasks: [
          { EndpointID: "e4", EndpointIP: "10.1.1.14" },
          { EndpointID: "e5", EndpointIP: "" },
        ],
      },
      "x }; flush ruleset": { VIP: "10.1.1.3; flush ruleset", Tasks: null },
    },
  });
  const services = balance({ listed: listedNetwork(answer).services, records: [], isReachable: () => true });
  assert.deepEqual(services, [{ address: VIP, targets: ["10.1.1.11"], draining: [] }]);
  assert.deepEqual(listedNetwork(networkServicesShape.parse({})).services, [], "a network that has none");
  const own = [{ address: VIP, tasks: [{ endpoint: "e1", address: VIP }] }];
  assert.deepEqual(balance({ listed: own, records: [], isReachable: () => true })[0].targets, [], "no endless loop");
});

test("the address of a service whose last task has ended is refused for a while, unless an endpoint has got it", async () => {
  const clock = new VirtualClock();
  const refused = new RefusedAddresses(clock);
  const services = [{ address: VIP, targets: ["10.1.1.11"], draining: [] }];
  assert.deepEqual(refused.add(NETWORK, services, []), services);
  const empty = [{ address: VIP, targets: [], draining: [] }];
  assert.deepEqual(refused.add(NETWORK, [], []), empty);
  assert.deepEqual(refused.add("other", [], []), []);
  const taken: ListedService[] = [{ address: "", tasks: [{ endpoint: "e9", address: VIP }] }];
  assert.deepEqual(refused.add(NETWORK, [], taken), []);
  assert.deepEqual(refused.add(NETWORK, [], []), [], "then it is no service's address any more");
  refused.add(NETWORK, services, []);
  await clock.run(601_000);
  assert.deepEqual(refused.add(NETWORK, [], []), []);
});

test("an address that this host or an endpoint has, too, is described", () => {
  const services = [{ address: VIP, targets: [], draining: [] }];
  assert.equal(describeClashes(services, listing(1), new Set(["10.1.1.1"])), undefined);
  assert.match(describeClashes(services, [], new Set([VIP])) ?? "", /10\.1\.1\.2 \(this host: 'weave hide'/);
  const taken: ListedService[] = [{ address: "", tasks: [{ endpoint: "e9", address: VIP }] }];
  assert.match(describeClashes(services, taken, new Set()) ?? "", /10\.1\.1\.2 \(a container\)/);
});

test("only a container's stop signal and SIGKILL stop it", () => {
  assert.deepEqual(
    ["15", "9", "1", "3", ""].map((signal) => isStop(signal, "")),
    [true, true, false, false, false],
  );
  assert.deepEqual(
    ["SIGQUIT", "quit", "3", "SIGWINCH", "RTMIN+3"].map((stop) => isStop("3", stop)),
    [true, true, true, false, false],
  );
  assert.ok(isStop("37", "SIGRTMIN+3"));
});

test("a record of a peer has only ids and addresses", () => {
  const task = { network: NETWORK, endpoint: "e1", service: VIP, address: "10.1.1.11", state: "serving" } as const;
  const accepts = (change: object) =>
    TASK_FORMAT.shape.safeParse(TASK_FORMAT.pack({ ...task, ...change } as typeof task)).success;
  assert.ok(accepts({}));
  for (const endpoint of ["", "../x", "a b", "x".repeat(129)]) assert.ok(!accepts({ endpoint }), endpoint);
  for (const address of ["fd00::1", "10.1.1", "10.1.1.1; drop"]) assert.ok(!accepts({ address }), address);
  assert.ok(!accepts({ state: "dead" }));
});

test("rules name every service once in the shared match, and choose among N tasks with equal shares", () => {
  const services = [
    { address: VIP, targets: ["10.1.1.11", "10.1.1.12", "10.1.1.13"], draining: [] },
    { address: "10.1.1.3", targets: ["10.1.1.21"], draining: ["10.1.1.22"] },
    { address: "10.1.1.4", targets: [], draining: [] },
  ];
  const nft = nftServices(services);
  assert.match(
    nft,
    /services ip daddr 10\.1\.1\.2 dnat to numgen random mod 3 map \{ 0 : 10\.1\.1\.11, 1 : 10\.1\.1\.12, 2 : 10\.1\.1\.13 \}/,
  );
  assert.match(nft, /services ip daddr 10\.1\.1\.3 dnat to 10\.1\.1\.21\n/);
  assert.doesNotMatch(nft, /10\.1\.1\.4 dnat|10\.1\.1\.22/);
  assert.equal(nft.match(/ip daddr \{ 10\.1\.1\.2, 10\.1\.1\.3, 10\.1\.1\.4 \}/g)?.length, 4);
  const iptables = iptablesServices(services);
  assert.deepEqual(
    [...iptables.matchAll(/-d 10\.1\.1\.2 (?:-m statistic --mode random --probability (\S+) )?-j DNAT/g)].map(
      ([, p]) => p,
    ),
    ["0.3333333333", "0.5000000000", undefined],
  );
  assert.doesNotMatch(nftServices([]), /add rule/);
  for (const make of [nftServices, iptablesServices])
    assert.throws(() => make([{ address: VIP, targets: ["10.1.1.11\nflush ruleset"], draining: [] }]), TypeError);
});

test("flows to a task that is gone, and flows without any, are stale; others are not", () => {
  const listed = [
    "tcp      6 431999 ESTABLISHED src=10.1.1.50 dst=10.1.1.2 sport=40000 dport=80 src=10.1.1.11 dst=10.1.1.50 sport=80 dport=40000 [ASSURED] mark=0 use=1",
    "tcp      6 431999 ESTABLISHED src=10.1.1.50 dst=10.1.1.2 sport=40001 dport=80 src=10.1.1.12 dst=10.1.1.50 sport=80 dport=40001 [ASSURED] mark=0 use=1",
    "tcp      6 431999 ESTABLISHED src=10.1.1.50 dst=10.1.1.2 sport=40002 dport=80 src=10.1.1.13 dst=10.1.1.50 sport=80 dport=40002 [ASSURED] mark=0 use=1",
    "tcp      6 431999 ESTABLISHED src=10.1.1.50 dst=10.1.1.2 sport=40003 dport=80 src=10.1.1.13 dst=10.1.1.50 sport=80 dport=40003 [ASSURED] mark=0 use=1",
    "udp      17 29 src=10.1.1.50 dst=10.1.1.2 sport=53 dport=53 [UNREPLIED] src=10.1.1.2 dst=10.1.1.50 sport=53 dport=53 mark=0 use=1",
    "icmp     1 29 src=10.1.1.50 dst=10.1.1.9 type=8 code=0 id=1 src=10.1.1.9 dst=10.1.1.50 type=0 code=0 id=1 mark=0 use=1",
    "",
  ].join("\n");
  const services = [{ address: VIP, targets: ["10.1.1.11"], draining: ["10.1.1.12"] }];
  assert.deepEqual(staleFlows(listed, services), [
    { address: VIP, target: "10.1.1.13" },
    { address: VIP, target: VIP },
  ]);
  // A container can have any flows in its own namespace, and each removal takes a process.
  const many = Array.from({ length: 5_000 }, (_, i) =>
    listed.split("\n")[0].replace("src=10.1.1.11", `src=10.2.${i >> 8}.${i & 255}`),
  );
  assert.equal(staleFlows(many.join("\n"), services).length, 256);
});
