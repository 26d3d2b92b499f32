import { rmSync } from "node:fs";
import { join } from "node:path";
import { builtBundle } from "#test/lab/built-bundle.js";
import { ROOT } from "#test/lab/docs/pages.js";
import { execute } from "#test/lab/namespace.js";
import { ARCHITECTURE } from "#test/lab/releases.js";
import { programMissing } from "#test/lab/requirements.js";

/** Limit for the image: the first one of a checkout fetches Debian's packages and Node. */
const BUILD_MS = 300_000;

/** Why the image of the router cannot be built here; undefined where it can. */
export function imageImpossible(): string | undefined {
  for (const [tool, from] of [
    ["apt-get", "apt"],
    ["dpkg-deb", "dpkg"],
  ] as const) {
    const missing = programMissing(tool, from);
    if (missing !== undefined) return missing;
  }
  return undefined;
}

/** Makes the image of the router from the present sources. @returns an archive for `docker load` */
export async function routerImage(folder: string, tag: string): Promise<string> {
  builtBundle();
  const [root, archive] = [join(folder, "router-root"), join(folder, "router.tar")];
  const script = `scripts/build/rootfs.sh ${root} ${ARCHITECTURE} && node scripts/build/image-archive.mjs ${root} ${ARCHITECTURE} ${tag} ${archive}`;
  const { code, stderr } = await execute("sh", ["-c", `cd ${ROOT} && ${script}`], {}, BUILD_MS);
  if (code !== 0) throw new Error(`the image cannot be built: ${stderr}`);
  rmSync(root, { recursive: true });
  return archive;
}
