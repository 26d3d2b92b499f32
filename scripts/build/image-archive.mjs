/**
 * image-archive.mjs ROOT ARCH TAG FILE: writes an image as `docker load` takes it, from a root file system: one layer, and the
 * configuration of packaging/image/config.json. The same files give the same image.
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { createReadStream, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { manifest, root as project } from "./project.mjs";
import { sourceDate } from "./source-date.mjs";

const [root, architecture, tag, file] = process.argv.slice(2);
const seconds = sourceDate();
const created = new Date(Number(seconds) * 1_000).toISOString();

const tar = (folder, to, ...names) =>
  execFileSync("tar", [
    "-C",
    folder,
    "--sort=name",
    `--mtime=@${seconds}`,
    "--owner=0",
    "--group=0",
    "--numeric-owner",
    "-cf",
    to,
    ...names,
  ]);

async function sha256(path) {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path), hash);
  return hash.digest("hex");
}

const work = mkdtempSync(join(dirname(file), "image."));
try {
  tar(root, join(work, "layer.tar"), ".");
  const config = JSON.parse(readFileSync(join(project, "packaging/image/config.json"), "utf8"));
  const image = {
    architecture,
    os: "linux",
    created,
    config: {
      ...config,
      Labels: {
        ...config.Labels,
        "org.opencontainers.image.version": manifest.version,
        "works.weave.version": manifest.version,
      },
    },
    rootfs: { type: "layers", diff_ids: [`sha256:${await sha256(join(work, "layer.tar"))}`] },
    history: [{ created, created_by: "scripts/build/image.sh" }],
  };
  const text = JSON.stringify(image);
  const name = `${createHash("sha256").update(text).digest("hex")}.json`;
  writeFileSync(join(work, name), text);
  writeFileSync(
    join(work, "manifest.json"),
    JSON.stringify([{ Config: name, RepoTags: [tag], Layers: ["layer.tar"] }]),
  );
  tar(work, join(work, "image.tar"), "manifest.json", name, "layer.tar");
  renameSync(join(work, "image.tar"), file);
} finally {
  rmSync(work, { recursive: true });
}
