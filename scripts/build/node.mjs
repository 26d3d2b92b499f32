import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { fetchPackage } from "./fetch-package.mjs";
import { root } from "./project.mjs";

/** Architectures as Debian and Docker name them, and as Node does. */
const PLATFORMS = { amd64: "linux-x64", arm64: "linux-arm64" };

/**
 * Fetches the Node that archives, Debian packages and the image carry. The first line of `node-version` names its version, the
 * others have the checksums of npm's packages of it.
 *
 * @param {string} architecture amd64 or arm64
 * @returns {string} a folder with `bin/node` and `LICENSE`
 */
export function fetchNode(architecture) {
  const platform = PLATFORMS[architecture];
  if (platform === undefined) throw new Error(`'${architecture}' is no architecture: amd64 or arm64`);
  const [version, ...checksums] = readFileSync(join(root, "scripts/build/node-version"), "utf8").trim().split("\n");
  const integrity = checksums.map((line) => line.split(" ")).find(([name]) => name === platform)?.[1];
  if (integrity === undefined) throw new Error(`scripts/build/node-version has no checksum for ${platform}`);
  return fetchPackage({ name: `node-${platform}`, version, integrity });
}

// `node scripts/build/node.mjs ARCHITECTURE` prints the folder.
if (process.argv[1] === fileURLToPath(import.meta.url)) console.log(fetchNode(process.argv[2]));
