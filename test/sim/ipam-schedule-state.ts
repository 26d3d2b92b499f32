import type { Allocator } from "#ipam/allocator.js";
import type { Mallory } from "./ipam-mallory.js";
import { IpamNetwork, type SimHost } from "./ipam-network.js";

/**
 * The events of a schedule.
 *
 * - `faults`: power cuts before and after writes, restarts, partitions, loss, delay, duplication, reordering, hosts that die
 *   and are removed by several peers at the same time, hosts that leave. No address may ever be held twice.
 * - `disks`: as well, routers that come back with an empty disk while all others are reachable. No address twice either.
 * - `mistakes`: as well, mistakes of operators: live peers removed, old disks restored, empty ones in a partition,
 *   different seeds, different ranges. Addresses may be held twice: then `status` must name them, and all else must hold.
 * - `hostile`: users, and in half of the schedules `faults`; and a member that lies: forged transfers and takeovers, old messages,
 *   votes, rings of its own, floods of requests, also in others' names. No address twice; the honest peers' rings agree.
 */
export type Class = "faults" | "disks" | "mistakes" | "hostile";

export class Violation extends Error {}

/** The truth about a running schedule: its events change it, its invariants are checked against it. */
export class ScheduleState {
  readonly network: IpamNetwork;
  readonly kind: Class;
  /** Hosts that are off, and whether an operator has removed them. */
  readonly off = new Map<SimHost, boolean>();
  /** The hostile member of a `hostile` schedule. */
  mallory: Mallory | undefined;
  /** Hosts that have left the network, and the hostile one. */
  readonly gone = new Set<SimHost>();
  /** Hosts that were removed at any time. */
  readonly removed = new Set<SimHost>();
  /** Addresses that may be held twice, because an operator was warned. */
  readonly excused = new Set<bigint>();
  /** Addresses that were held twice at any time. */
  readonly doubles = new Set<bigint>();
  /** Number of addresses that containers got. */
  grants = 0;
  /** The first violation: it may be found inside a callback whose errors are lost. */
  violation: Violation | undefined;
  readonly #trace: string[] = [];

  constructor(seed: number, kind: Class) {
    this.kind = kind;
    this.network = new IpamNetwork(seed, { lost: 0, doubled: 0, delay: 1 });
  }

  /** Hosts whose router runs and that have not left. */
  running(): (SimHost & { allocator: Allocator })[] {
    return this.network.hosts.filter(
      (host): host is SimHost & { allocator: Allocator } => host.allocator !== undefined && !this.gone.has(host),
    );
  }

  /** True one time in so many, in a schedule of mistakes. */
  mistake(oneIn: number): boolean {
    return this.kind === "mistakes" && this.network.random.below(oneIn) === 0;
  }

  trace(text: string): void {
    this.#trace.push(`${(this.network.clock.now() / 1_000).toFixed(3).padStart(9)} ${text}`);
  }

  fail(why: string): void {
    this.violation ??= new Violation(`${why}\n${this.#trace.slice(-60).join("\n")}`);
  }
}
