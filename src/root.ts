import { WeaveError } from "#src/errors.js";

export const NOT_ROOT = "weave must be run as 'root' when run locally";

export const isRoot = (): boolean => process.getuid?.() === 0;

/** For what changes the host. @throws WEAVE_NOT_ROOT */
export function requireRoot(): void {
  if (!isRoot()) throw new WeaveError("WEAVE_NOT_ROOT", NOT_ROOT, { next: "Try it with sudo." });
}
