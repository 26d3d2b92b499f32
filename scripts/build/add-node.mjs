/**
 * add-node.mjs DOC ARCH NODE: adds Node to what a package, an archive or an image contains: to licences.txt and sbom.cdx.json of the
 * folder DOC (share/doc/weave). ARCH is amd64 or arm64; NODE is the folder of npm's package of Node, with its LICENSE.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { addComponent } from "./bundle/licences.mjs";
import { nodePackage } from "./node.mjs";

const [doc, architecture, node] = process.argv.slice(2);
const { name, version, integrity } = nodePackage(architecture);
addComponent(doc, {
  name,
  version,
  // Its file names the licences of the libraries inside, too.
  license: "MIT",
  text: readFileSync(join(node, "LICENSE"), "utf8").trim(),
  purl: `pkg:npm/${name}@${version}`,
  integrity,
});
