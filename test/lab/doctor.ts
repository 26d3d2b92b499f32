import assert from "node:assert/strict";
import type { Host } from "#test/lab/host.js";
import { shapeFaults } from "#test/lab/json-shape.js";

/** The result of `weave doctor`. */
export interface Diagnosed {
  readonly code: number;
  readonly findings: readonly {
    Check: string;
    Level: string;
    What: string;
    Cause: string | null;
    Remedy: string | null;
  }[];
}

/** Runs `weave doctor` on a host. @param via the start of the command: another PATH, or mounts of its own */
export async function doctor(host: Host, via: readonly string[] = ["env"], ...hosts: string[]): Promise<Diagnosed> {
  const { code, stdout, stderr } = await host.weaveVia(via, "doctor", "--json", ...hosts);
  assert.deepEqual(shapeFaults("doctor", stdout), [], stderr);
  const document = JSON.parse(stdout) as { Findings: Diagnosed["findings"] };
  return { code, findings: document.Findings };
}

/** Asserts a finding: its check, level and text; a fault has a cause or a remedy. */
export function has({ findings, code }: Diagnosed, check: string, level: string, what: RegExp): void {
  const found = findings.find((each) => each.Check === check && each.Level === level && what.test(each.What));
  assert.ok(found !== undefined, `${check} ${level} ${what}: ${JSON.stringify(findings, undefined, 1)}`);
  if (level !== "ok") assert.ok((found.Remedy ?? found.Cause ?? "") !== "", found.What);
  if (level === "fail") assert.equal(code, 2);
}
