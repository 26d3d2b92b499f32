import { type DoctorCheck, type Finding, ok } from "#cli/doctor/check.js";
import { runningProcesses } from "#cli/support/processes.js";
import { VERSION } from "#src/version.js";

/** Whether a router runs, and what it has noticed itself. */
export const routerCheck: DoctorCheck = {
  name: "router",
  run({ report, silence }) {
    if (report === undefined) return [notRunning(silence)];
    const { Version, Supervision, Problems } = report;
    const findings: Finding[] = Problems.map((problem) => {
      // A problem ends with what helps, behind a semicolon.
      const [what, ...remedy] = problem.replace(/\.$/, "").split("; ");
      return { level: "fail", what, ...(remedy.length > 0 ? { remedy: remedy.join("; ") } : {}) };
    });
    if (Version !== VERSION)
      findings.push({
        level: "warn",
        what: `the router runs version ${Version}, and this command is ${VERSION}`,
        remedy: `'weave restart' starts the router of ${VERSION}`,
      });
    if (Supervision === "none")
      findings.push({
        level: "warn",
        what: "nothing starts the router again after a crash",
        cause: "it was launched with --no-restart or --foreground",
        remedy: "'weave stop' and 'weave launch' without them",
      });
    return findings.length > 0 ? findings : [ok(`version ${Version} answers, kept running by: ${Supervision}`)];
  },
};

/** A host without a router is sound: this command also checks hosts before their first launch. */
function notRunning(silence: string): Finding {
  const [first, ...next] = silence.split("\n");
  const { router, supervisor } = runningProcesses();
  if (router === undefined && supervisor === undefined) return ok(`no router runs here: ${first}`);
  return { level: "fail", what: first, ...(next.length > 0 ? { remedy: next.join(" ") } : {}) };
}
