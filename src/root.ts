import { WeaveError } from "#src/errors.js";

/** The message of WEAVE_NOT_ROOT. */
export const NOT_ROOT = "weave must be run as 'root' when run locally";

export const isRoot = (): boolean => process.getuid?.() === 0;

/** Checks that the process is root. @throws WEAVE_NOT_ROOT */
export function requireRoot(): void {
  if (!isRoot()) throw new WeaveError("WEAVE_NOT_ROOT", NOT_ROOT, { next: "Try it with sudo." });
}
