import { existsSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { builtBundle } from "#test/lab/built-bundle.js";
import { ROOT } from "#test/lab/docs/pages.js";
import { must } from "#test/lab/namespace.js";
import { ARCHITECTURE, makeRelease, VERSION } from "#test/lab/releases.js";
import { routerImage } from "#test/lab/router-image.js";

/** The version of the release to which pages upgrade. */
const NEXT = "0.2.0";

const made = new Map<string, Promise<string>>();
let folder: string | undefined;

/**
 * Makes the files of a release of this tree, for this architecture, once for each version.
 *
 * @param image whether the image of the router is among them
 * @returns their folder, which is gone when the process ends
 */
export async function pageRelease(which: "this" | "next", image = false): Promise<string> {
  const version = which === "this" ? VERSION : NEXT;
  const release = made.get(version) ?? make(version);
  made.set(version, release);
  const path = await release;
  const archive = join(path, `weave-${version}-image-${ARCHITECTURE}.tar`);
  if (image && !existsSync(archive)) renameSync(await routerImage(path, `weave:${version}`), archive);
  return path;
}

async function make(version: string): Promise<string> {
  if (folder === undefined) {
    const top = mkdtempSync(join(tmpdir(), "weave-pages-"));
    process.once("exit", () => rmSync(top, { recursive: true, force: true }));
    folder = top;
  }
  builtBundle();
  const release = await makeRelease(folder, ["archive", "deb"], version);
  const pack = `npm pack --silent --ignore-scripts --pack-destination ${release.folder}`;
  if (version === VERSION) await must("sh", "-c", `cd ${ROOT} && ${pack}`);
  await must("sh", "-c", `cd ${release.folder} && rm SHA256SUMS && sha256sum * >SHA256SUMS`);
  return release.folder;
}
