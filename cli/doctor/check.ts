import type { HostFacts } from "#cli/doctor/host-facts.js";

/** Levels of findings, from good to bad. `warn`: weave works, with less speed or safety than it could. `fail`: a part of it does not work. */
export const LEVELS = ["ok", "warn", "fail"] as const;
export type Level = (typeof LEVELS)[number];

/** A result of a check. */
export interface Finding {
  readonly level: Level;
  /** What was found, in one sentence without a full stop. */
  readonly what: string;
  /** Why it is so, or why it matters. */
  readonly cause?: string;
  /** The command or change that helps. */
  readonly remedy?: string;
}

/** One subject of `weave doctor`. A check changes nothing on the host. */
export interface DoctorCheck {
  readonly name: string;
  /**
   * Returns at least one finding; an error that it throws becomes a warning.
   *
   * @param signal aborted at the end of the time for all checks
   */
  run(host: HostFacts, signal: AbortSignal): Promise<readonly Finding[]> | readonly Finding[];
}

export const ok = (what: string): Finding => ({ level: "ok", what });

/** The worst level of findings. */
export const worstOf = (findings: readonly Pick<Finding, "level">[]): Level =>
  LEVELS[Math.max(0, ...findings.map(({ level }) => LEVELS.indexOf(level)))];
