import type { ErrorCode } from "#src/errors.js";
import { WeaveError } from "#src/errors.js";

/** Exit status of a router whose next start would fail for the same reason: EX_CONFIG (sysexits.h). weave.service does not start it again. */
export const EXIT_CONFIG = 78;

/** Errors that only a user can end, by a change of the options, of the installation or of the host. */
const LASTING: readonly ErrorCode[] = [
  "WEAVE_BRIDGE_FOREIGN",
  "WEAVE_FLAG_INVALID",
  "WEAVE_FLAG_UNKNOWN",
  "WEAVE_INSTALLATION",
  "WEAVE_IPAM_RANGE",
  "WEAVE_NOT_ROOT",
  "WEAVE_NO_TUN",
  "WEAVE_PEER_INVALID",
  "WEAVE_TOOL_MISSING",
];

/** Exit status of a router that could not start. @param supervised whether its exit status decides about another start */
export function exitStatusOf(error: unknown, supervised: boolean): number {
  return supervised && error instanceof WeaveError && LASTING.includes(error.code) ? EXIT_CONFIG : 1;
}
