/**
 * add-node.mjs DOC ARCH NODE: adds Node to what a package, an archive or an image contains: to licences.txt and sbom.cdx.json of the
 * folder DOC (share/doc/weave). ARCH is x64 or arm64; NODE is the folder of npm's package of Node, with its LICENSE.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { addComponent } from "./bundle/licences.mjs";
import { root } from "./project.mjs";

const [doc, arch, node] = process.argv.slice(2);
const [version, ...checksums] = readFileSync(join(root, "scripts/build/node-version"), "utf8").trim().split("\n");
const integrity = checksums.map((line) => line.split(" ")).find(([platform]) => platform === `linux-${arch}`)?.[1];
if (integrity === undefined) throw new Error(`scripts/build/node-version has no checksum of Node for ${arch}`);
addComponent(doc, {
  name: `node-linux-${arch}`,
  version,
  // Its file names the licences of the libraries inside, too.
  license: "MIT",
  text: readFileSync(join(node, "LICENSE"), "utf8").trim(),
  purl: `pkg:npm/node-linux-${arch}@${version}`,
  integrity,
});
