import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { builtBundle } from "#test/lab/built-bundle.js";
import { ROOT } from "#test/lab/docs/pages.js";
import { must } from "#test/lab/namespace.js";

/** The architecture of this machine, as Debian names it. */
export const ARCHITECTURE = process.arch === "arm64" ? "arm64" : "amd64";

/** The version of this tree. */
export const VERSION: string = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")).version;

export interface Release {
  readonly version: string;
  /** The folder with all of it and SHA256SUMS. */
  readonly folder: string;
  readonly archive: string;
  readonly installer: string;
  readonly deb: string;
}

/**
 * Makes archive or Debian package of this tree's bundle, hardly compressed.
 *
 * @param folder where to; a sub-folder for each version is made
 * @param kinds those to make
 * @param version makes the bundle say that it is of this version
 */
export async function makeRelease(
  folder: string,
  kinds: readonly ("archive" | "deb")[],
  version = VERSION,
): Promise<Release> {
  let bundle = builtBundle();
  if (version !== VERSION) bundle = withVersion(bundle, join(folder, `bundle-${version}`), version);
  const out = join(folder, version);
  for (const kind of kinds)
    await must(join(ROOT, `scripts/build/${kind}.sh`), "--bundle", bundle, "--out", out, "--fast", ARCHITECTURE);
  await must("sh", "-c", `cd ${out} && sha256sum * > SHA256SUMS`);
  return {
    version,
    folder: out,
    archive: join(out, `weave-${version}-linux-${ARCHITECTURE}.tar.gz`),
    deb: join(out, `weave_${version}_${ARCHITECTURE}.deb`),
    installer: join(out, "install.sh"),
  };
}

/** Copies a bundle, and changes the version in its JavaScript and package.json. */
function withVersion(from: string, to: string, version: string): string {
  mkdirSync(to, { recursive: true });
  cpSync(from, to, { recursive: true });
  let changed = 0;
  const replace = (file: string) => {
    const text = readFileSync(file, "utf8");
    const next = text
      .replaceAll(`VERSION = "${VERSION}"`, `VERSION = "${version}"`)
      .replace(`"version": "${VERSION}"`, `"version": "${version}"`);
    if (next === text) return;
    changed++;
    writeFileSync(file, next);
  };
  replace(join(to, "package.json"));
  for (const file of readdirSync(join(to, "lib"), { recursive: true, encoding: "utf8" }))
    if (file.endsWith(".js")) replace(join(to, "lib", file));
  if (changed < 2) throw new Error(`the bundle does not contain VERSION = "${VERSION}"`);
  return to;
}
