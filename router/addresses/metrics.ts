import type { Allocator } from "#ipam/allocator.js";
import { sizeOf } from "#ipam/ring/interval.js";
import type { Metric } from "#router/service.js";

/** The metrics of IPAM. */
export function addressMetrics(allocator: Allocator): Metric[] {
  const size = () => Number(sizeOf(allocator.range));
  const unreachable = () => [...(allocator.ring?.shares() ?? [])].filter(([peer]) => !allocator.isReachable(peer));
  const waiting = (kind: string) => allocator.waiters.filter((waiter) => waiter.kind === kind).length;
  const gauge = (name: string, help: string, read: () => number): Metric => ({ name, help, type: "gauge", read });
  return [
    {
      name: "weave_ips",
      help: "Number of IP addresses in use here.",
      type: "gauge",
      labels: ["state"],
      read: () => [{ labels: { state: "local-used" }, value: allocator.activeCount }],
    },
    gauge("weave_max_ips", "Size of IP address space used by allocator.", size),
    gauge(
      "weave_ipam_unreachable_count",
      "Number of unreachable peers that own IP ranges.",
      () => unreachable().length,
    ),
    gauge(
      "weave_ipam_unreachable_percentage",
      "Percentage of the range that unreachable peers own.",
      () => (100 * unreachable().reduce((sum, [, owned]) => sum + Number(owned), 0)) / size(),
    ),
    gauge("weave_ipam_pending_allocates", "Number of allocations that wait.", () => waiting("allocate")),
    gauge("weave_ipam_pending_claims", "Number of claims that wait.", () => waiting("claim")),
    gauge(
      "weave_ipam_contested_ips",
      "Number of addresses in use here that belong to other peers.",
      () => allocator.contested.length,
    ),
  ];
}
