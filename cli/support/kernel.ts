import { release } from "node:os";
import { WeaveError } from "#src/errors.js";

/** Oldest kernel with everything that the router uses. */
export const OLDEST_KERNEL = "4.18";

/** Whether a kernel's release, such as 6.8.0-45-generic, is at least {@link OLDEST_KERNEL}. */
export function isKernelNewEnough(release: string): boolean {
  const [major, minor] = /^(\d+)\.(\d+)/.exec(release)?.slice(1).map(Number) ?? [0, 0];
  const [oldMajor, oldMinor] = OLDEST_KERNEL.split(".").map(Number);
  return major > oldMajor || (major === oldMajor && minor >= oldMinor);
}

/** Checks the kernel of this host. @throws WEAVE_INSTALLATION when it is too old */
export function requireKernel(): void {
  if (!isKernelNewEnough(release()))
    throw new WeaveError("WEAVE_INSTALLATION", `Linux ${release()} is too old: weave needs ${OLDEST_KERNEL} or later`, {
      next: "Upgrade the kernel of this host; 'weave setup' lists all requirements.",
    });
}
