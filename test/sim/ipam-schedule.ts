import type { Random } from "#src/random.js";
import { Events } from "./ipam-events.js";
import { Invariants } from "./ipam-invariants.js";
import { Mallory } from "./ipam-mallory.js";
import type { IpamNetwork } from "./ipam-network.js";
import { type Class, ScheduleState } from "./ipam-schedule-state.js";

export type { Class } from "./ipam-schedule-state.js";

const RANGES = ["10.32.0.0/28", "10.32.0.0/26", "10.32.0.0/24", "10.32.0.0/20"];
/** Events of one schedule. */
const STEPS = 40;
/** All operations end within this time once there are no more faults. */
const QUIET_MS = 180_000;

/** Runs one schedule. @throws Violation when an invariant does not hold */
export async function runSchedule(seed: number, kind: Class, peers?: number): Promise<Schedule> {
  const schedule = new Schedule(seed, kind, peers);
  await schedule.run();
  return schedule;
}

/** Random events at the hosts of a random network, checked by invariants; the seed decides all of it. */
export class Schedule {
  readonly #run: ScheduleState;
  readonly #invariants: Invariants;
  readonly #events: Events;

  constructor(seed: number, kind: Class, peers?: number) {
    this.#run = new ScheduleState(seed, kind);
    this.#invariants = new Invariants(this.#run);
    this.#events = new Events(this.#run, this.#invariants);
    addHosts(this.#run, peers);
    this.network.check = (host) => this.#invariants.checkHost(host);
  }

  get network(): IpamNetwork {
    return this.#run.network;
  }

  /** Number of addresses that containers got. */
  get grants(): number {
    return this.#run.grants;
  }

  /** Addresses that were held twice at any time. */
  get doubles(): ReadonlySet<bigint> {
    return this.#run.doubles;
  }

  async run(): Promise<void> {
    const { network } = this;
    const { random } = network;
    for (const host of network.hosts) if (!this.#run.gone.has(host)) this.#events.start(host);
    this.#run.mallory?.listen();
    for (let step = 0; step < STEPS; step++) {
      this.#events.next();
      await network.run(random.below(3) === 0 ? random.below(10_000) : random.below(500));
      this.#throwViolation();
    }
    await this.#quiet();
    this.#invariants.checkEnd();
    this.#throwViolation();
  }

  /** Ends all faults, and lets time pass. Hosts that died for good stay unreachable. */
  async #quiet(): Promise<void> {
    const { network } = this;
    for (const host of network.hosts) host.disk.cut = undefined;
    network.heal();
    network.weather = { lost: 0, doubled: 0, delay: 5 };
    network.noticeMs = 0;
    this.#run.trace("all is quiet");
    for (const host of network.hosts)
      if (host.allocator === undefined && !this.#run.gone.has(host)) this.#events.start(host);
    network.heal();
    await network.run(QUIET_MS);
  }

  #throwViolation(): void {
    if (this.#run.violation !== undefined) throw this.#run.violation;
  }
}

/** Weather, hosts, range and the way to the first ring. */
function addHosts(run: ScheduleState, peers: number | undefined): void {
  const { network } = run;
  const { random } = network;
  const calm = random.below(4) === 0;
  network.weather = calm
    ? { lost: 0, doubled: 0, delay: 5 }
    : { lost: random.below(200), doubled: random.below(100), delay: 1 + random.below(400) };
  network.noticeMs = calm ? 0 : random.below(4_000);
  const count = peers ?? peerCount(random);
  const range = RANGES[random.below(RANGES.length)];
  const seeded = random.below(4) === 0;
  const quorum = Math.floor(count / 2) + 1;
  for (let i = 0; i < count; i++) {
    const observer = !seeded && i >= quorum && random.below(5) === 0;
    network.add(
      observer ? { mode: "observer" } : { mode: "consensus", quorum: () => quorum },
      run.mistake(10) ? RANGES[random.below(RANGES.length)] : range,
    );
  }
  if (run.kind === "hostile") addMallory(run, range);
  if (!seeded) return;
  for (const host of network.hosts) {
    const names = network.hosts.slice(0, run.mistake(4) ? 1 + random.below(count) : 3).map(({ name }) => name);
    host.init = { mode: "seed", peers: names };
  }
}

/** Adds a hostile member. Of those of which a peer is down now and then, it takes nothing over. */
function addMallory(run: ScheduleState, range: string): void {
  const { network } = run;
  const mallory = new Mallory(network, network.hosts.length, range);
  mallory.takesOver = network.random.below(2) === 0;
  network.hosts.push(mallory);
  run.gone.add(mallory);
  run.mallory = mallory;
}

/** Mostly few, as few are enough for most faults; some tens now and then, and seldom a hundred. */
function peerCount(random: Random): number {
  const point = random.below(1_000);
  if (point === 0) return 100;
  return point < 20 ? 10 + random.below(30) : 3 + random.below(8);
}
