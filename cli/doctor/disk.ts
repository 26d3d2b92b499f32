import { statfsSync } from "node:fs";
import { dirname } from "node:path";
import { type DoctorCheck, type Finding, ok } from "#cli/doctor/check.js";
import { fileRemedy } from "#src/file-error.js";

/** Less free space is a warning: the log (16 MB, twice) and a database of a large network fit. */
const ENOUGH_BYTES = 64 << 20;
/** Less is a failure: the database needs this much for a change. */
const LEAST_BYTES = 1 << 20;
/** Fewer free inodes are a failure: the files of a router, and of containers that start. */
const LEAST_INODES = 64;

/** Free space and inodes of the folders of state, sockets and log. */
export const diskCheck: DoctorCheck = {
  name: "disk",
  run: ({ folders }) => folders.map(([folder, variable]) => spaceOf(folder, variable)),
};

function spaceOf(folder: string, variable: string): Finding {
  const { bavail, bsize, files, ffree } = statfsSync(existing(folder));
  const bytes = bavail * bsize;
  const remedy = fileRemedy("no space left", folder, variable)?.slice(0, -1);
  const text = `${Math.floor(bytes / 2 ** 20)} MB`;
  // Some file systems (btrfs) have no fixed number of inodes, and report 0.
  if (files > 0 && ffree < LEAST_INODES)
    return {
      level: "fail",
      what: `${folder} has ${ffree} inodes left`,
      cause: "no new file can be made there",
      remedy: remedy?.replace("df ", "df -i "),
    };
  if (bytes >= ENOUGH_BYTES) return ok(`${folder}: ${text} free`);
  const level = bytes < LEAST_BYTES ? "fail" : "warn";
  return { level, what: `${folder} has ${text} left`, cause: "the router writes its database and its log", remedy };
}

/** The folder, or the first one above it that exists. */
function existing(folder: string): string {
  try {
    statfsSync(folder);
    return folder;
  } catch {
    return folder === "/" ? folder : existing(dirname(folder));
  }
}
