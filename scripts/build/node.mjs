import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { fetchPackage } from "./fetch-package.mjs";
import { root } from "./project.mjs";

/** Architectures as Debian and Docker name them, and as Node does. */
const PLATFORMS = { amd64: "linux-x64", arm64: "linux-arm64" };

/**
 * Returns name, version and checksum of npm's package of the Node that archives, Debian packages and the image carry. The first line of
 * `node-version` names its version, the others have the checksums.
 *
 * @param {string} architecture amd64 or arm64
 * @throws Error for another architecture, or one without a checksum
 */
export function nodePackage(architecture) {
  const platform = PLATFORMS[architecture];
  if (platform === undefined) throw new Error(`'${architecture}' is no architecture: amd64 or arm64`);
  const [version, ...checksums] = readFileSync(join(root, "scripts/build/node-version"), "utf8").trim().split("\n");
  const integrity = checksums.map((line) => line.split(" ")).find(([name]) => name === platform)?.[1];
  if (integrity === undefined) throw new Error(`scripts/build/node-version has no checksum for ${platform}`);
  return { name: `node-${platform}`, version, integrity };
}

/** Fetches that package. @returns {string} its folder, with `bin/node` and `LICENSE` */
export const fetchNode = (architecture) => fetchPackage(nodePackage(architecture));

// `node scripts/build/node.mjs ARCHITECTURE` prints the folder.
if (process.argv[1] === fileURLToPath(import.meta.url)) console.log(fetchNode(process.argv[2]));
