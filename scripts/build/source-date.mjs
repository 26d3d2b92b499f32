// Prints the time of all files of what is built, in seconds since 1970: `node scripts/build/source-date.mjs`.
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { root } from "./project.mjs";

/** The time that SOURCE_DATE_EPOCH names (reproducible-builds.org), else that of the commit; 0 outside of a repository. */
export function sourceDate() {
  if (process.env.SOURCE_DATE_EPOCH) return process.env.SOURCE_DATE_EPOCH;
  try {
    const options = { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] };
    return execFileSync("git", ["-C", root, "log", "-1", "--format=%ct"], options).trim();
  } catch {
    return "0";
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) console.log(sourceDate());
