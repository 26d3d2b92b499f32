import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ROOT } from "#test/lab/docs/pages.js";
import { execute } from "#test/lab/namespace.js";

const BUILD_MS = 300_000;
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: "amd64", arm64: "arm64" };

let made: Promise<string> | undefined;

/** Makes the files of a release of this tree, for this architecture, once. @returns their folder, which is gone when the process ends */
export function pageRelease(): Promise<string> {
  made ??= make();
  return made;
}

async function make(): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), "weave-pages-"));
  process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
  const architecture = ARCHITECTURES[process.arch];
  const steps = [
    "npm run --silent build:bundle",
    `scripts/build/archive.sh --fast --out ${folder} ${architecture}`,
    `scripts/build/deb.sh --fast --out ${folder} ${architecture}`,
    `npm pack --silent --ignore-scripts --pack-destination ${folder}`,
    `cd ${folder} && sha256sum * > SHA256SUMS`,
  ];
  const { code, stderr } = await execute("sh", ["-c", `cd ${ROOT} && ${steps.join(" && ")}`], {}, BUILD_MS);
  if (code !== 0) throw new Error(`the release cannot be made: ${stderr}`);
  return folder;
}
