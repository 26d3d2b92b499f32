import { statSync } from "node:fs";
import { type DoctorCheck, type Finding, ok } from "#cli/doctor/check.js";
import { hasSystemd } from "#cli/support/systemctl.js";
import { run } from "#src/linux/exec.js";
import { databaseFile, launchFile, paths } from "#src/paths.js";

/** A file may be this much newer than the clock: file servers have clocks of their own. */
const SLACK_MS = 120_000;
const REMEDY = "set the clock ('date'), and have chrony or systemd-timesyncd keep it; then 'weave restart'";

/** Whether the clock is right, as far as one host can know: by its own files, by systemd, and by what peers refused. */
export const clockCheck: DoctorCheck = {
  name: "clock",
  async run({ launched, report }) {
    const findings = [...behindFiles(launched.dbPrefix ?? paths().dbPrefix), ...(await unsynchronized())];
    for (const { Info } of report?.Router.Connections ?? [])
      if (/the clock of .* days ahead/.test(Info))
        findings.push({ level: "fail", what: Info, cause: "a peer rejects records of the far future", remedy: REMEDY });
    return findings.length > 0 ? findings : [ok(`${new Date().toISOString().slice(0, 19)}Z`)];
  },
};

function behindFiles(dbPrefix: string): Finding[] {
  return [databaseFile(dbPrefix), launchFile(paths().run)].flatMap((file): Finding[] => {
    const mtime = statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0;
    if (mtime < Date.now() + SLACK_MS) return [];
    const cause = `${file} is of ${new Date(mtime).toISOString()}, which is in the future`;
    return [{ level: "fail", what: "the clock of this host was set back, or is wrong", cause, remedy: REMEDY }];
  });
}

async function unsynchronized(): Promise<Finding[]> {
  if (!hasSystemd()) return [];
  const text = await run("timedatectl", ["show", "--property=NTPSynchronized"]).catch(() => "");
  if (text.trim() !== "NTPSynchronized=no") return [];
  const cause = "records of a host whose clock is a day ahead are rejected by its peers";
  return [
    { level: "warn", what: "no program keeps the clock right", cause, remedy: "as root: timedatectl set-ntp true" },
  ];
}
