// Writes build/bundle/, the folder that every way of installing weave uses: `npm run build:bundle`. With `--if-changed` it does
// nothing if the bundle is that of the present sources.
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { command, packageFile } from "./bundle/entry.mjs";
import { fileList } from "./bundle/file-list.mjs";
import { javascript } from "./bundle/javascript.mjs";
import { licences } from "./bundle/licences.mjs";
import { manual } from "./bundle/manual.mjs";
import { natives } from "./bundle/natives.mjs";
import { page } from "./bundle/page.mjs";
import { systemd } from "./bundle/systemd.mjs";
import { manifest, root } from "./project.mjs";
import { sourceState } from "./source-state.mjs";

/**
 * The steps, in their order. Each is a function of `{ out, version, metafile }`: the folder to write to, the version of weave,
 * and esbuild's description of the inputs (https://esbuild.github.io/api/#metafile), which the first step makes. Equal sources
 * give equal bytes: no step writes a time, a path of this machine or a random value.
 */
const STEPS = [natives, fileList, packageFile, command, manual, systemd, licences];

/** The names of the files that are run as programs. */
const EXECUTABLE = ["weave", "supervisor"];

const build = join(root, "build");
const bundle = join(build, "bundle");
/** The {@link sourceState} from which the bundle was made. */
const stamp = join(build, "bundle.sources");

const state = sourceState();
const isDone = existsSync(bundle) && existsSync(stamp) && readFileSync(stamp, "utf8") === state;
if (!isDone || !process.argv.includes("--if-changed")) await write();

async function write() {
  mkdirSync(build, { recursive: true });
  // A complete folder replaces the last one; a failed build leaves the last one.
  const out = mkdtempSync(join(build, ".bundle-"));
  try {
    const context = {
      out,
      version: manifest.version,
      metafile: merged(await javascript({ out }), await page({ out })),
    };
    for (const step of STEPS) await step(context);
    setModes(out);
    rmSync(stamp, { force: true });
    rmSync(bundle, { recursive: true, force: true });
    renameSync(out, bundle);
    writeFileSync(stamp, state);
  } finally {
    rmSync(out, { recursive: true, force: true });
  }
}

/** Of two builds as of one. */
function merged(one, other) {
  return { inputs: { ...one.inputs, ...other.inputs }, outputs: { ...one.outputs, ...other.outputs } };
}

/** Sets all modes, which then do not depend on the umask. */
function setModes(folder) {
  chmodSync(folder, 0o755);
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) setModes(path);
    else chmodSync(path, EXECUTABLE.includes(entry.name) ? 0o755 : 0o644);
  }
}
