import { WeaveError } from "#src/errors.js";

/** Maximum timeout of a request, in seconds. */
const MAX_WAIT_S = 24 * 3_600;

/** The parameter `timeout=SECONDS` of a request, in milliseconds; undefined: no limit. @throws WEAVE_FLAG_INVALID */
export function timeoutOf(form: URLSearchParams): number | undefined {
  const text = form.get("timeout");
  if (text === null) return undefined;
  const seconds = Number(text);
  if (seconds >= 0 && seconds <= MAX_WAIT_S) return seconds * 1_000;
  throw new WeaveError("WEAVE_FLAG_INVALID", `invalid timeout: ${JSON.stringify(text.slice(0, 64))}`, {
    next: `Give seconds from 0 to ${MAX_WAIT_S}.`,
  });
}
