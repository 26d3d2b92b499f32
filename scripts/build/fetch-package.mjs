import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { root } from "./project.mjs";

const CACHE = join(root, "build/cache");

/**
 * Returns the folder of an npm package, which need not be of this platform: from the cache, or from the registry.
 *
 * @param {{ name: string, version: string, integrity: string }} wanted `integrity` as in package-lock.json: `sha512-…`
 * @throws Error when it cannot be fetched, or is not the package that was asked for
 */
export function fetchPackage({ name, version, integrity }) {
  const folder = join(CACHE, `${name.replace("/", "-").replace("@", "")}-${version}`);
  if (existsSync(folder)) return folder;
  mkdirSync(CACHE, { recursive: true });
  // Parallel builds fetch each to a folder of their own; the last step is one rename.
  const work = mkdtempSync(join(CACHE, ".fetch-"));
  try {
    const tarball = download(`${name}@${version}`, work);
    checkIntegrity(tarball, integrity, `${name}@${version}`);
    execFileSync("tar", ["--extract", "--gzip", "--file", tarball, "--directory", work, "--no-same-owner"]);
    if (!existsSync(folder)) renameSync(join(work, "package"), folder);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return folder;
}

function download(spec, to) {
  try {
    execFileSync("npm", ["pack", spec, "--silent", "--pack-destination", to], { stdio: ["ignore", "ignore", "pipe"] });
  } catch (error) {
    throw new Error(
      `cannot fetch ${spec} from the npm registry: ${error.stderr?.toString().trim() || error.message}\n` +
        "Packages that npm ci does not install here are fetched once, to build/cache/.",
    );
  }
  return join(
    to,
    readdirSync(to).find((entry) => entry.endsWith(".tgz")),
  );
}

/** @throws Error when the file has another checksum */
function checkIntegrity(file, integrity, what) {
  const [algorithm] = integrity.split("-");
  const found = `${algorithm}-${createHash(algorithm).update(readFileSync(file)).digest("base64")}`;
  if (found !== integrity) throw new Error(`${what} has the checksum ${found}, but ${integrity} was expected`);
}
