import type { DoctorCheck, Finding } from "#cli/doctor/check.js";
import { HOST_CHECKS, hostCheckResult } from "#cli/support/host-checks.js";
import { installCommands } from "#src/linux/packages.js";

/** Checks of `weave setup` whose subject has a check of its own here, with causes and remedies. */
const ELSEWHERE = ["managers", "Docker"];

/** The requirements that `weave setup` checks: root, kernel, Node.js, files, programs (and not BusyBox's), TAP, cipher. */
export const requirementsCheck: DoctorCheck = {
  name: "requirements",
  async run() {
    const checks = HOST_CHECKS.filter(({ name }) => !ELSEWHERE.includes(name));
    const results = await Promise.all(checks.map(async (each) => ({ each, result: await hostCheckResult(each) })));
    return results.map(({ each, result }): Finding => {
      const what = `${each.name}: ${result.Text}`;
      if (result.Result === "ok") return { level: "ok", what };
      const remedy = each.tool === undefined ? "'weave setup' shows all requirements" : installCommands([each.tool]);
      return {
        level: result.Result === "limited" ? "warn" : "fail",
        what,
        remedy: typeof remedy === "string" ? remedy : `as root: ${remedy.join("; ")}`,
      };
    });
  },
};
