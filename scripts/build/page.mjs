// Writes the files of the page for browsers to dist/page/, where a checkout has them: a step of `npm run build`.
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { root } from "./project.mjs";

/** Sources in page/ of which each becomes one file, named by the hash of its contents. */
const ASSETS = ["page.tsx", "page.css", "icon.svg"];

/**
 * Writes the page to a folder, with `files.json`, which lists its files for the router (router/page/files.ts).
 *
 * @param {string} folder
 * @returns esbuild's description of the inputs
 */
export async function buildPage(folder) {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: ASSETS.map((name) => join("page", name)),
    entryNames: "[name]-[hash]",
    outdir: folder,
    bundle: true,
    minify: true,
    format: "iife",
    platform: "browser",
    target: ["chrome111", "firefox115", "safari16.4"],
    tsconfig: "page/tsconfig.json",
    loader: { ".svg": "copy" },
    legalComments: "none",
    metafile: true,
    logLevel: "warning",
  });
  const files = readdirSync(folder).sort();
  /** `page.js` of the document is `page-HASH.js`. */
  const named = (name) => files.find((file) => file.replace(/-[A-Z0-9]{8}\./, ".") === name);
  const html = readFileSync(join(root, "page/page.html"), "utf8").replace(/assets\/([\w.]+)/g, (_, name) => {
    const file = named(name);
    if (file === undefined) throw new Error(`page/page.html names ${name}, which is no file of the page`);
    return `assets/${file}`;
  });
  writeFileSync(join(folder, "page.html"), html);
  const versions = createHash("sha256").update(html).digest("hex").slice(0, 16);
  writeFileSync(join(folder, "files.json"), `${JSON.stringify({ build: versions, page: "page.html", files })}\n`);
  return metafile;
}

if (basename(process.argv[1]) === basename(fileURLToPath(import.meta.url))) await buildPage(join(root, "dist/page"));
