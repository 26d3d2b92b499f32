import { copyFileSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { fetchPackage } from "../fetch-package.mjs";
import { locked, manifest, root } from "../project.mjs";

/**
 * The native modules, and the package with the file of each for a platform. All use Node-API, and so work with every version of
 * Node.js. (lmdb and msgpackr-extract have further files, each for one version.)
 */
const NATIVES = {
  koffi: (arch) => ({ package: `@koromix/koffi-linux-${arch}`, file: `linux_${arch}/koffi.node` }),
  lmdb: (arch) => ({ package: `@lmdb/lmdb-linux-${arch}`, file: "node.napi.glibc.node" }),
  "msgpackr-extract": (arch) => ({
    package: `@msgpackr-extract/msgpackr-extract-linux-${arch}`,
    file: "node.napi.glibc.node",
  }),
};

/** The names of the packages with the native modules, for all platforms. */
export const nativePackages = () =>
  manifest.cpu.flatMap((arch) => Object.values(NATIVES).map((of) => of(arch).package));

/** Writes `native/linux-ARCH/NAME.node`, and `native/linux-ARCH/supervisor`, the one native program (router/supervisor/). */
export function natives({ out }) {
  for (const arch of manifest.cpu) {
    const folder = join(out, `native/linux-${arch}`);
    mkdirSync(folder, { recursive: true });
    for (const [name, of] of Object.entries(NATIVES)) {
      const native = of(arch);
      copyFileSync(join(fetchPackage(locked(native.package)), native.file), join(folder, `${name}.node`));
    }
    copyFileSync(join(root, `router/supervisor/linux-${arch}`), join(folder, "supervisor"));
  }
}
