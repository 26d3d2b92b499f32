import type { Service } from "#router/service.js";
import { statusLine } from "#router/service.js";
import type { Problems } from "#src/problems.js";
import { VERSION } from "#src/version.js";

/** Keys that Weave Net has, in its order; those of other services follow. */
const KEYS = ["Router", "DNS", "IPAM"];

/** The whole of `weave report`: the process, then each service under the keys that it owns. */
export async function makeReport(services: readonly Service[], problems: Problems): Promise<object> {
  const parts = await Promise.all(services.map((service) => service.report?.()));
  const entries = new Map(parts.flatMap((part) => Object.entries(part ?? {})));
  const keys = [...KEYS.filter((key) => entries.has(key)), ...[...entries.keys()].filter((key) => !KEYS.includes(key))];
  return {
    Ready: true,
    Version: VERSION,
    // The router queries no server for a newer version; the fields are for scripts that read them.
    VersionCheck: { Enabled: false, Success: false, NewVersion: "", NextCheckAt: "" },
    /** Problems on this host, one line each. */
    Problems: problems.list(),
    ...Object.fromEntries(keys.map((key) => [key, entries.get(key)])),
  };
}

/** The text of `weave status`: of the process, then of each service. */
export async function makeStatus(services: readonly Service[], problems: Problems): Promise<string> {
  const first =
    statusLine("Version", VERSION) +
    problems
      .list()
      .map((problem) => statusLine("Problem", problem))
      .join("");
  const blocks = await Promise.all(services.map(async (service) => (await service.statusBlocks?.()) ?? []));
  return [first, ...blocks.flat()].join("\n");
}
