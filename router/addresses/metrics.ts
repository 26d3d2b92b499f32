import type { Allocator } from "#ipam/allocator.js";
import { sizeOf } from "#ipam/ring/interval.js";
import type { Metric } from "#router/service.js";

/** The metrics of IPAM. */
export function addressMetrics(allocator: Allocator): Metric[] {
  const size = () => Number(sizeOf(allocator.range));
  const unreachable = () => [...(allocator.ring?.shares() ?? [])].filter(([peer]) => !allocator.isReachable(peer));
  const waiting = (kind: string) => allocator.waiters.filter((waiter) => waiter.kind === kind).length;
  const gauge = (name: string, help: string, read: () => number): Metric => ({ name, help, type: "gauge", read });
  const known = (name: string, help: string, read: () => number): Metric => ({
    ...gauge(name, help, read),
    inWeaveNet: true,
  });
  return [
    {
      name: "weave_ips",
      help: "Number of IP addresses in use here.",
      type: "gauge",
      labels: ["state"],
      inWeaveNet: true,
      read: () => [{ labels: { state: "local-used" }, value: allocator.activeCount }],
    },
    known("weave_max_ips", "Size of IP address space used by allocator.", size),
    known(
      "weave_ipam_unreachable_count",
      "Number of unreachable peers that own IP ranges.",
      () => unreachable().length,
    ),
    known(
      "weave_ipam_unreachable_percentage",
      "Percentage of the range that unreachable peers own.",
      () => (100 * unreachable().reduce((sum, [, owned]) => sum + Number(owned), 0)) / size(),
    ),
    known("weave_ipam_pending_allocates", "Number of allocations that wait.", () => waiting("allocate")),
    known("weave_ipam_pending_claims", "Number of claims that wait.", () => waiting("claim")),
    gauge(
      "weave_ipam_owned_ips",
      "Number of addresses of this peer's part of the range; 0 before the range is divided.",
      () => Number(allocator.ring?.shares().get(allocator.self) ?? 0n),
    ),
    gauge("weave_ipam_free_ips", "Number of addresses that this peer may allocate now.", () =>
      Number(allocator.space.freeIn(allocator.range)),
    ),
    gauge("weave_ipam_takeover_pending", "Whether a takeover of addresses waits for the agreement of peers.", () =>
      Number(allocator.takeover !== undefined),
    ),
    gauge(
      "weave_ipam_given_twice_ips",
      "Number of address spans that a peer has given to two, and that are not allocated here.",
      () => allocator.givenTwice.length,
    ),
    gauge(
      "weave_ipam_contested_ips",
      "Number of addresses in use here that belong to other peers.",
      () => allocator.contested.length,
    ),
  ];
}
