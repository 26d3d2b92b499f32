import { WeaveError } from "#src/errors.js";

/** For the commands that change the host. @throws WEAVE_NOT_ROOT */
export function needRoot(): void {
  if (process.getuid?.() !== 0)
    throw new WeaveError("WEAVE_NOT_ROOT", "weave must be run as 'root' when run locally", {
      next: "Try it with sudo.",
    });
}
