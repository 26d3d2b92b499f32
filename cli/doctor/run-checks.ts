import type { DoctorCheck, Finding } from "#cli/doctor/check.js";
import type { HostFacts } from "#cli/doctor/host-facts.js";
import { errorText } from "#src/errors.js";

/** Maximum number of checks at the same time: some start several processes. */
const CONCURRENCY = 4;

/** A finding, and the check that made it. */
export interface CheckFinding extends Finding {
  readonly check: string;
}

/**
 * Runs checks, some at a time.
 *
 * @param limitMs time for all of them; one that has not ended by then is a warning
 * @returns the findings in the order of the checks, and whether all checks have ended
 */
export async function runChecks(
  checks: readonly DoctorCheck[],
  host: HostFacts,
  limitMs: number,
): Promise<{ readonly findings: readonly CheckFinding[]; readonly complete: boolean }> {
  // The timer of AbortSignal.timeout would not keep a process whose last check waits for nothing else.
  const limit = new AbortController();
  const { signal } = limit;
  const timer = setTimeout(() => limit.abort(), limitMs);
  const results: (readonly CheckFinding[])[] = checks.map(() => []);
  let complete = true;
  const late = new Promise<"late">((resolve) =>
    signal.addEventListener("abort", () => resolve("late"), { once: true }),
  );
  let next = 0;
  const work = async () => {
    for (let at = next++; at < checks.length; at = next++) {
      const { name } = checks[at];
      const found = await Promise.race([findingsOf(checks[at], host, signal), late]);
      if (found === "late") complete = false;
      results[at] = (found === "late" ? [lateFinding(limitMs)] : found).map((each) => ({ ...each, check: name }));
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, work));
  clearTimeout(timer);
  return { findings: results.flat(), complete };
}

async function findingsOf(check: DoctorCheck, host: HostFacts, signal: AbortSignal): Promise<readonly Finding[]> {
  try {
    return await check.run(host, signal);
  } catch (error) {
    return [{ level: "warn", what: "cannot be checked", cause: errorText(error).replaceAll("\n", " ") }];
  }
}

const lateFinding = (limitMs: number): Finding => ({
  level: "warn",
  what: `not known within ${limitMs / 1_000} s`,
  cause: "a program or another host did not answer",
});
