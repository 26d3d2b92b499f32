import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { build } from "esbuild";
import { root } from "./project.mjs";

/**
 * Imports a module of the sources, without `npm run build`. Packages of npm stay outside.
 *
 * @param {string} path such as `cli/help.ts`
 */
export async function importSource(path) {
  mkdirSync(join(root, "build"), { recursive: true });
  const folder = mkdtempSync(join(root, "build/.source-"));
  const outfile = join(folder, "module.mjs");
  try {
    await build({
      absWorkingDir: root,
      entryPoints: [path],
      outfile,
      bundle: true,
      format: "esm",
      platform: "node",
      target: "node20.19",
      conditions: ["source"],
      packages: "external",
      logLevel: "warning",
    });
    return await import(pathToFileURL(outfile).href);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
