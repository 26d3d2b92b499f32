import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { manifest, root } from "../project.mjs";

/** Writes `package.json`, whose `imports` locate programs and native modules (src/installation.ts). */
export function packageFile({ out }) {
  const { name, version, description, license, engines } = manifest;
  const imports = {
    "#router/*.js": "./lib/router/*.js",
    "#page/*": "./lib/page/*",
    "#native/*": "./native/*",
    "#files.json": "./files.json",
  };
  writeJson(join(out, "package.json"), { name, version, description, license, type: "module", engines, imports });
}

/** Writes `bin/weave`, which loads `lib/` where that of the checkout loads `dist/`. */
export function command({ out }) {
  mkdirSync(join(out, "bin"));
  const text = readFileSync(join(root, "bin/weave"), "utf8");
  if (!text.includes("../dist/")) throw new Error("bin/weave names no file of dist/");
  writeFileSync(join(out, "bin/weave"), text.replaceAll("../dist/", "../lib/"), { mode: 0o755 });
  writeFileSync(join(out, "bin/package.json"), readFileSync(join(root, "bin/package.json")));
}

const writeJson = (path, value) => writeFileSync(path, `${JSON.stringify(value, undefined, 2)}\n`);
