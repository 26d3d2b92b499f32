import { type Level, worstOf } from "#cli/doctor/check.js";
import { DOCTOR_CHECKS } from "#cli/doctor/checks.js";
import { type HostFacts, hostFacts } from "#cli/doctor/host-facts.js";
import { type CheckFinding, runChecks } from "#cli/doctor/run-checks.js";
import { documentText } from "#cli/json/document.js";

/** Time for all checks: with the report before them less than 10 s. */
const LIMIT_MS = 6_000;

/** The result of all checks. */
export interface Diagnosis {
  readonly host: HostFacts;
  readonly findings: readonly CheckFinding[];
  readonly level: Level;
  /** False: a check has not ended in time, and may keep this process. */
  readonly complete: boolean;
  /** Time that it took, in ms. */
  readonly ms: number;
}

/** Runs all checks. @param targets other hosts to try, `host[:port]` */
export async function diagnose(targets: readonly string[]): Promise<Diagnosis> {
  const start = performance.now();
  const host = await hostFacts(targets);
  const { findings, complete } = await runChecks(DOCTOR_CHECKS, host, LIMIT_MS);
  return { host, findings, complete, level: worstOf(findings), ms: Math.round(performance.now() - start) };
}

/** The JSON of a diagnosis; without one of a new diagnosis. */
export async function doctorDocument(diagnosis?: Diagnosis): Promise<string> {
  const { host, findings, level, ms } = diagnosis ?? (await diagnose([]));
  return documentText("doctor", {
    Level: level,
    Running: host.report !== undefined,
    Milliseconds: ms,
    Findings: findings.map(({ check, level: Level, what, cause, remedy }) => ({
      ...{ Check: check, Level, What: what },
      Cause: cause ?? null,
      Remedy: remedy ?? null,
    })),
  });
}
