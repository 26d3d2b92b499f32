import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { lockedPackages, manifest, root } from "../project.mjs";
import { nativePackages } from "./natives.mjs";

/**
 * What the bundle contains beside Weave: share/doc/weave/licences.txt with the licence of each, and sbom.cdx.json, which lists
 * them for programs (CycloneDX 1.5, https://cyclonedx.org/docs/1.5/json/). Both depend on the contents alone: no time, no serial
 * number. `npm sbom` lists all installed packages, which are more than the bundle contains, and none of other architectures.
 *
 * packaging/licences.json has the licences that are allowed, and where the text of a package without one is.
 */

const policy = JSON.parse(readFileSync(join(root, "packaging/licences.json"), "utf8"));

/** Where packages have their licence. */
const LICENCE_FILE = /^(?:licen[cs]e|copying|notice)(?:[.-]|$)/i;

/**
 * A part of the bundle that others wrote.
 *
 * @typedef {{ name: string, version: string, license: string, text: string, purl?: string, integrity?: string }} Component
 */

/** Weave's own, beside the two. */
const OWN = ["LICENSE", "CHANGELOG.md"];

/** Writes `share/doc/weave/`. @param {{ out: string, metafile: import("esbuild").Metafile }} options of the bundle */
export function licences({ out, metafile }) {
  const folder = join(out, "share/doc/weave");
  mkdirSync(folder, { recursive: true });
  for (const file of OWN) copyFileSync(join(root, file), join(folder, file));
  const packages = [...bundledPackages(metafile), ...nativePackages().map((name) => `node_modules/${name}`)];
  writeComponents(folder, [...packages.map(npmComponent), ...policy.insideNatives.map(innerComponent)]);
}

/**
 * Writes both files again with one more component: an archive, a package or an image brings more than the bundle.
 *
 * @param {string} folder with sbom.cdx.json and licences.txt
 * @param {Component} component
 */
export function addComponent(folder, component) {
  checkLicence(component);
  const sbom = JSON.parse(readFileSync(join(folder, "sbom.cdx.json"), "utf8"));
  const entry = sbomEntry(component);
  if (sbom.components.some((each) => each["bom-ref"] === entry["bom-ref"])) return;
  sbom.components.push(entry);
  sbom.components.sort(byReference);
  writeJson(join(folder, "sbom.cdx.json"), sbom);
  const file = join(folder, "licences.txt");
  writeFileSync(file, readFileSync(file, "utf8") + paragraph(component));
}

/** Keys of package-lock.json: the packages of which code is in the bundle. */
function bundledPackages(metafile) {
  const keys = Object.values(metafile.outputs)
    .flatMap(({ inputs }) => Object.entries(inputs))
    .filter(([, { bytesInOutput }]) => bytesInOutput > 0)
    .map(([path]) => /^(?:[^:]*:)?(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1])
    .filter((key) => key !== undefined);
  return [...new Set(keys)];
}

/** @param {string} key of package-lock.json @returns {Component} */
function npmComponent(key) {
  const entry = lockedPackages[key];
  if (entry === undefined) throw new Error(`package-lock.json has no ${key}, which is in the bundle`);
  const name = key.slice(key.lastIndexOf("node_modules/") + "node_modules/".length);
  const { version, integrity, license } = entry;
  const purl = `pkg:npm/${name.replace("@", "%40")}@${version}`;
  return { name, version, license, integrity, purl, text: licenceText(key, name) };
}

/** @returns {Component} a library that was compiled into a native module */
function innerComponent({ name, in: within, license, versionFrom, texts }) {
  const read = (file) => readFileSync(join(root, "node_modules", within, file), "utf8");
  const found = new RegExp(versionFrom.pattern).exec(read(versionFrom.file));
  if (found === null) throw new Error(`${within}/${versionFrom.file} does not have the version of ${name}`);
  const text = texts.map((file) => read(file).trim()).join("\n\n");
  return {
    name,
    version: found.slice(1).join("."),
    license,
    text,
    purl: `pkg:generic/${name}@${found.slice(1).join(".")}`,
  };
}

function licenceText(key, name) {
  const folder = join(root, policy.textOfPackage[name] ? `node_modules/${policy.textOfPackage[name].in}` : key);
  const files = readdirSync(folder).filter((file) => LICENCE_FILE.test(file));
  if (files.length === 0)
    throw new Error(`${name} is bundled, but has no licence text: add it to textOfPackage in packaging/licences.json`);
  return files
    .sort()
    .map((file) => readFileSync(join(folder, file), "utf8").replaceAll("\r\n", "\n").trim())
    .join("\n\n");
}

/** @param {Component} component @throws Error when its licence is not one of those allowed */
function checkLicence({ name, version, license }) {
  if (!policy.allowed.includes(license))
    throw new Error(
      `${name} ${version} is bundled under ${license ?? "no licence"}; packaging/licences.json allows ${policy.allowed.join(", ")}`,
    );
}

function writeComponents(folder, components) {
  for (const component of components) checkLicence(component);
  const sorted = components.sort((a, b) => (reference(a) < reference(b) ? -1 : 1));
  const { name, version, license, description } = manifest;
  const application = { type: "application", "bom-ref": `pkg:npm/${name}@${version}`, name, version, description };
  writeJson(join(folder, "sbom.cdx.json"), {
    bomFormat: "CycloneDX",
    specVersion: "1.5",
    version: 1,
    metadata: { component: { ...application, licenses: [{ license: { id: license } }] } },
    components: sorted.map(sbomEntry),
  });
  const head = `Weave is under ${license} (the file LICENSE). It contains the software below, each under its own licence.\n`;
  writeFileSync(join(folder, "licences.txt"), head + sorted.map(paragraph).join(""));
}

const reference = ({ name, version, purl }) => purl ?? `${name}@${version}`;
const byReference = (a, b) => (a["bom-ref"] < b["bom-ref"] ? -1 : 1);
const writeJson = (file, value) => writeFileSync(file, `${JSON.stringify(value, undefined, 2)}\n`);

function sbomEntry(component) {
  const { name, version, license, purl, integrity } = component;
  // In package-lock.json in Base64, here in hexadecimal digits.
  const hash = integrity && Buffer.from(integrity.replace(/^sha512-/, ""), "base64").toString("hex");
  return {
    type: "library",
    "bom-ref": reference(component),
    name,
    version,
    licenses: [{ license: { id: license } }],
    ...(purl && { purl }),
    ...(hash && { hashes: [{ alg: "SHA-512", content: hash }] }),
  };
}

const paragraph = ({ name, version, license, text }) =>
  `\n${"=".repeat(100)}\n${name} ${version} (${license})\n${"=".repeat(100)}\n\n${text}\n`;
