import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { WeaveError } from "#src/errors.js";

/**
 * Returns the path of a file of this installation that is not imported but started, or loaded by other means: a program, a
 * thread, a native module. `imports` of package.json knows where files are, in a checkout and in the bundle alike.
 *
 * @param name as for an import: `#router/main.js`
 * @throws WEAVE_INSTALLATION when the file is missing
 */
export function installedFile(name: `#${string}`): string {
  const path = fileURLToPath(import.meta.resolve(name));
  if (!existsSync(path)) throw incomplete(path);
  return path;
}

/** The error for a missing file of this installation. */
export function incomplete(path: string): WeaveError {
  return new WeaveError("WEAVE_INSTALLATION", `this installation of weave is incomplete: ${path} is missing`, {
    next: "Install weave again, in the same way as before.",
  });
}
