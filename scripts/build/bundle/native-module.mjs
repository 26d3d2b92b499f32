// Part of the bundle, where it replaces the loaders that the packages of native modules bring: see javascript.mjs.
import { createRequire } from "node:module";
import { WeaveError } from "#src/errors.js";
import { installedFile } from "#src/installation.js";
import { ARCHITECTURES } from "./platforms.mjs";

const SUPPORTED = `weave runs on Linux with glibc, on ${ARCHITECTURES.join(" and ")}`;

/**
 * Loads a native module of the bundle, `native/linux-ARCH/NAME.node`.
 *
 * @param {string} name
 * @throws WEAVE_INSTALLATION when there is none for this platform, or it cannot be loaded
 */
export function loadNative(name) {
  const { platform, arch } = process;
  if (platform !== "linux" || !ARCHITECTURES.includes(arch)) throw unsupported(`${platform} on ${arch}`);
  const file = installedFile(`#native/${platform}-${arch}/${name}.node`);
  try {
    return createRequire(import.meta.url)(file);
  } catch (cause) {
    if (process.report.getReport().header.glibcVersionRuntime === undefined)
      throw unsupported("a system without glibc");
    throw new WeaveError("WEAVE_INSTALLATION", `cannot load ${file}: ${cause.message}`, {
      cause,
      next: "If the file is damaged, install weave again; otherwise the C library of this host is too old.",
    });
  }
}

const unsupported = (what) => new WeaveError("WEAVE_INSTALLATION", `${SUPPORTED}; this is ${what}`);
