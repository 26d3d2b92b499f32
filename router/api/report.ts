import type { Service } from "#router/service.js";
import { statusLine } from "#router/service.js";
import type { SupervisionName } from "#router/supervision.js";
import type { LogLevel } from "#src/log.js";
import type { Problems } from "#src/problems.js";
import { VERSION } from "#src/version.js";

/** Top-level keys of Weave Net, in its order. The keys of other services follow. */
const KEYS = ["Router", "DNS", "IPAM"];

/** The router's process, apart from its services. */
export interface ProcessFacts {
  readonly problems: Problems;
  readonly supervision: SupervisionName;
  /**
   * Reads the launch file again, and applies what can be changed without a restart: the log level.
   *
   * @returns the log level now
   * @throws WeaveError when the file cannot be used; nothing has changed then
   */
  readonly reload: () => LogLevel;
}

/** The output of `weave report`: keys of the process, then the keys of each service. */
export async function makeReport(
  services: readonly Service[],
  { problems, supervision }: Pick<ProcessFacts, "problems" | "supervision">,
): Promise<object> {
  const parts = await Promise.all(services.map((service) => service.report?.()));
  const entries = new Map(parts.flatMap((part) => Object.entries(part ?? {})));
  const keys = [...KEYS.filter((key) => entries.has(key)), ...[...entries.keys()].filter((key) => !KEYS.includes(key))];
  return {
    Ready: true,
    Version: VERSION,
    // The router does not check for new versions. The fields exist for scripts that read them.
    VersionCheck: { Enabled: false, Success: false, NewVersion: "", NextCheckAt: "" },
    Supervision: supervision,
    Problems: problems.list(),
    ...Object.fromEntries(keys.map((key) => [key, entries.get(key)])),
  };
}

/** The text of `weave status`: a paragraph of the process, then the paragraphs of each service. */
export async function makeStatus(
  services: readonly Service[],
  { problems, supervision }: Pick<ProcessFacts, "problems" | "supervision">,
): Promise<string> {
  const first =
    statusLine("Version", VERSION) +
    statusLine("Supervision", supervision) +
    problems
      .list()
      .map((problem) => statusLine("Problem", problem))
      .join("");
  const blocks = await Promise.all(services.map(async (service) => (await service.statusBlocks?.()) ?? []));
  return [first, ...blocks.flat()].join("\n");
}
