// Writes build/bundle/, the folder that every way of installing weave uses: `npm run build:bundle`.
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { command, packageFile } from "./bundle/entry.mjs";
import { javascript } from "./bundle/javascript.mjs";
import { licences } from "./bundle/licences.mjs";
import { manual } from "./bundle/manual.mjs";
import { natives } from "./bundle/natives.mjs";
import { systemd } from "./bundle/share.mjs";
import { manifest, root } from "./project.mjs";

/**
 * The steps, in their order. Each is a function of `{ out, version, metafile }`: the folder to write to, the version of weave,
 * and esbuild's description of the inputs (https://esbuild.github.io/api/#metafile), which the first step makes. Equal sources
 * give equal bytes: no step writes a time, a path of this machine or a random value.
 */
const STEPS = [natives, packageFile, command, manual, systemd, licences];

const build = join(root, "build");
mkdirSync(build, { recursive: true });
// A complete folder replaces the last one; a failed build leaves the last one.
const out = mkdtempSync(join(build, ".bundle-"));
try {
  const context = { out, version: manifest.version, metafile: await javascript({ out }) };
  for (const step of STEPS) await step(context);
  setModes(out);
  rmSync(join(build, "bundle"), { recursive: true, force: true });
  renameSync(out, join(build, "bundle"));
} finally {
  rmSync(out, { recursive: true, force: true });
}

/** Modes do not depend on the umask. Only `bin/weave` is run as a program. */
function setModes(folder) {
  chmodSync(folder, 0o755);
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) setModes(path);
    else chmodSync(path, path === join(out, "bin/weave") ? 0o755 : 0o644);
  }
}
