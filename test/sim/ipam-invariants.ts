import type { Allocator } from "#ipam/allocator.js";
import { contains, overlap, sizeOf, subtract } from "#ipam/ring/interval.js";
import { compareOwnership, type Ownership, type Ring } from "#ipam/ring/ring.js";
import { addressText } from "#ipam/ring/subnet.js";
import type { SimHost } from "./ipam-network.js";
import type { ScheduleState } from "./ipam-schedule-state.js";

type Running = SimHost & { allocator: Allocator };

/** What must hold after each event of a schedule, and at its end. */
export class Invariants {
  readonly #run: ScheduleState;

  constructor(run: ScheduleState) {
    this.#run = run;
  }

  /** After each event at a host: the ring covers the range exactly once; own ranges = used ∪ free. */
  checkHost(host: SimHost): void {
    const { errors } = this.#run.network;
    if (errors.length > 0) this.#run.fail(errors[0]);
    if (host.allocator !== undefined) this.#checkRing(host, host.allocator);
  }

  /** After a container got an address: no address is held by two live containers. */
  checkHolders(address: bigint): void {
    const { doubles, excused, kind, network } = this.#run;
    const holders = this.#holdersOf(address);
    if (holders.length < 2) return;
    doubles.add(address);
    // `rmpeer` warned that a peer could not be asked, and named it.
    const named = network.hosts.filter((host) =>
      network.hosts.some(({ allocator }) => allocator?.settledWithout.has(host.name)),
    );
    if (named.some(({ name }) => holders.some((holder) => holder.endsWith(name)))) excused.add(address);
    if (this.#isContradicted(address) && this.#areApart(address)) excused.add(address);
    if (kind !== "mistakes" && !excused.has(address))
      this.#run.fail(`${addressText(address)} is held by ${holders.join(" and ")}`);
  }

  /** When all is quiet: rings agree, no lease is lost or leaked, no request waits in vain, doubles are reported. */
  checkEnd(): void {
    const running = this.#run.running();
    this.#checkRingsAgree(running);
    for (const host of running) {
      this.#checkLeases(host);
      this.#checkContested(host);
      this.#checkWaits(host, running);
    }
    for (const address of this.#run.doubles) this.#checkReported(address, running);
  }

  /** Whether the hostile member has signed two decisions about an address: of each some peers may have seen one first. */
  #isContradicted(address: bigint): boolean {
    return this.#run.mallory?.contradicted.some((each) => contains(each, address)) ?? false;
  }

  /** Whether two holders of an address cannot reach each other: then none can learn that the hostile member has given it twice. */
  #areApart(address: bigint): boolean {
    const holders = this.#run.network.hosts.filter(({ containers }) =>
      [...containers.values()].some((addresses) => addresses.has(address)),
    );
    return holders.some((a) => holders.some((b) => a !== b && !a.view.has(b.name)));
  }

  #checkRing({ name }: SimHost, { ring, range, space, leases, unconfirmedSpans }: Allocator): void {
    if (ring === undefined) return;
    let at = range.start;
    for (const { start, end } of ring.spans) {
      if (start !== at || end <= start) this.#run.fail(`the ring of ${name} does not cover the range once`);
      at = end;
    }
    if (at !== range.end) this.#run.fail(`the ring of ${name} does not reach the end`);
    let own = 0n;
    let used = 0n;
    for (const span of ring.ownedBy(name)) {
      if (span.value.pending) continue;
      for (const settled of subtract(span, unconfirmedSpans)) {
        own += sizeOf(settled);
        for (const part of leases.used.within(settled)) used += sizeOf(overlap(part, settled)!);
      }
    }
    if (own !== used + space.freeIn(range))
      this.#run.fail(`${name} owns ${own}, uses ${used}, has ${space.freeIn(range)} free`);
  }

  #checkRingsAgree(running: readonly Running[]): void {
    for (const range of new Set(running.map((host) => host.range))) {
      const rings = running.filter((host) => host.range === range).map(({ allocator }) => allocator.ring);
      if (differOnlyAbout(rings, (address) => this.#isContradicted(address))) continue;
      const reported = running.some(({ allocator }) => allocator.rejections.all.length > 0);
      // After a mistake peers may stay with two owners of an address, each by a valid title: status names that.
      if (new Set(rings.map((ring) => ring?.digest)).size > 1 && !(this.#run.kind === "mistakes" && reported))
        this.#run.fail(`the rings of ${range} differ after all is quiet: ${differenceOf(rings)}`);
    }
  }

  #checkLeases({ name, containers, allocator }: Running): void {
    for (const [ident, addresses] of containers)
      for (const address of addresses)
        if (!this.#isRecorded(allocator, ident, address))
          this.#run.fail(`${name} has forgotten ${addressText(address)} of ${ident}`);
    for (const { ident } of allocator.leases.all())
      if (!containers.has(ident)) this.#run.fail(`${name} has leaked the addresses of ${ident}`);
  }

  #checkContested({ name, allocator }: Running): void {
    const { kind, excused } = this.#run;
    if (kind !== "mistakes" && excused.size === 0 && allocator.contested.length > 0)
      this.#run.fail(`${name}: ${allocator.contested[0].why}`);
  }

  #checkWaits({ name, allocator }: Running, running: readonly Running[]): void {
    const awaited = running.filter((host) => allocator.takeover?.waiting.includes(host.name));
    if (awaited.length > 0) this.#run.fail(`${name} waits for ever for the answer of ${awaited[0].name}`);
    for (const waiter of allocator.waiters) {
      if (waiter.kind !== "allocate") continue;
      const free = freeAt(running);
      if (free > 0n && this.#run.kind !== "mistakes")
        this.#run.fail(`${waiter.ident} at ${name} waits for ${waiter.reason().why}, and ${free} are free`);
    }
  }

  #checkReported(address: bigint, running: readonly Running[]): void {
    const holders = this.#holdersOf(address);
    if (holders.length < 2) return;
    const contested = running.some(({ allocator }) =>
      allocator.contested.some((each) => each.address === addressText(address)),
    );
    const otherRanges = running.some(({ allocator }) => allocator.otherRanges.length > 0);
    if (!contested && !otherRanges)
      this.#run.fail(`${addressText(address)} is held by ${holders.join(" and ")}, and no status reports it`);
  }

  #holdersOf(address: bigint): string[] {
    return this.#run.network.hosts.flatMap(({ name, containers }) =>
      [...containers].filter(([, addresses]) => addresses.has(address)).map(([ident]) => `${ident} at ${name}`),
    );
  }

  #isRecorded(allocator: Allocator, ident: string, address: bigint): boolean {
    return (
      allocator.leases.holderOf(address)?.ident === ident ||
      // A double that was found at a claim after the loss of a disk.
      this.#run.doubles.has(address) ||
      this.#run.kind === "mistakes"
    );
  }
}

/** Whether rings of one origin differ only about some addresses. */
function differOnlyAbout(rings: readonly (Ring | undefined)[], excused: (address: bigint) => boolean): boolean {
  const known = rings.filter((ring) => ring !== undefined);
  if (known.length < rings.length || new Set(known.map(({ id }) => id)).size > 1) return false;
  return known
    .flatMap(({ spans }) => spans.map(({ start }) => start))
    .every((start) => {
      const values = known.map((ring) => ring.at(start).value);
      const same = values.every((value) => compareOwnership(value, values[0]) === 0);
      return same || excused(start);
    });
}

/** The ownerships of the first address about which some rings differ. */
function differenceOf(rings: readonly (Ring | undefined)[]): string {
  const known = rings.filter((ring) => ring !== undefined);
  if (known.length < rings.length) return "some have none";
  const starts = known.flatMap(({ spans }) => spans.map(({ start }) => start)).sort((a, b) => (a < b ? -1 : 1));
  const text = ({ owner, epoch, version, cause, from, deed }: Ownership) =>
    `${owner.slice(-2)} ${epoch}.${version} ${cause} from ${from?.slice(-2)} by ${deed?.by.slice(-2)}`;
  for (const start of starts) {
    const values = new Set(known.map((ring) => `${text(ring.at(start).value)}`));
    if (values.size > 1) return `${addressText(start)}: ${[...values].join(" | ")}`;
  }
  return `origins ${[...new Set(known.map(({ id }) => id))].join(" | ")}`;
}

/** Addresses that any running peer could allocate. */
function freeAt(running: readonly Running[]): bigint {
  let free = 0n;
  for (const { allocator } of running) {
    const { start, end } = allocator.range;
    free += allocator.space.freeIn({ start: start + 1n, end: end - 1n });
  }
  return free;
}
