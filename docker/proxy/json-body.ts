import type { IncomingMessage } from "node:http";
import { callText } from "#docker/proxy/call.js";
import { isObject, type JsonObject, parseExact, stringifyExact } from "#docker/proxy/json.js";
import { errorText, WeaveError } from "#src/errors.js";
import { readPrefix } from "#src/http/body.js";
import type { Log } from "#src/log.js";

/** Limit for a body that is changed, in bytes: far above usual ones. A longer one passes unchanged. */
const MAX_BODY = 4 << 20;

export interface JsonBody {
  /** The whole body; only its beginning if {@link complete} is false. */
  readonly bytes: Buffer;
  /** The parsed body; undefined if it is no object. */
  readonly json: JsonObject | undefined;
  /** False: the body is longer than the limit, and the rest is unread. */
  readonly complete: boolean;
}

/** Reads a body of at most {@link MAX_BODY}. @throws Error when the other end closes the connection before the body is complete */
export async function readJson(message: IncomingMessage): Promise<JsonBody> {
  const { bytes, complete } = await readPrefix(message, MAX_BODY);
  if (!complete) return { bytes, json: undefined, complete };
  try {
    // Clients leave out an empty body, or write `null`.
    const json = bytes.length === 0 ? {} : (parseExact(bytes.toString("utf8")) ?? {});
    return { bytes, json: isObject(json) ? json : undefined, complete };
  } catch {
    return { bytes, json: undefined, complete };
  }
}

/** The JSON text of an object. */
export const bytesOf = (value: JsonObject): Buffer => Buffer.from(stringifyExact(value));

/** Result of {@link changeBody}. */
export interface ChangedBody {
  /** The body to forward; undefined for the request's own, which can still be read from its beginning. */
  readonly bytes?: Buffer;
  /** Reason for which the body is unchanged, for the user. */
  readonly warning?: string;
}

/**
 * Reads a request's body, and changes it. A body that cannot be changed for any reason passes unchanged.
 *
 * @param change returns the new body; undefined if the body is to stay as it is
 * @throws WEAVE_ADDRESS_INVALID of `change`, which reports a user's mistake
 */
export async function changeBody(
  request: IncomingMessage,
  log: Log,
  change: (given: JsonObject) => Promise<JsonObject | undefined>,
): Promise<ChangedBody> {
  const { bytes, json, complete } = await readJson(request);
  if (!complete) {
    log.warn("the body of a call was too long to be changed; it was forwarded unchanged", { call: callText(request) });
    request.unshift(bytes);
    return { warning: `this container is not on the weave network: its description is longer than ${MAX_BODY} bytes` };
  }
  if (json === undefined) return { bytes };
  try {
    const changed = await change(json);
    return { bytes: changed === undefined ? bytes : bytesOf(changed) };
  } catch (error) {
    if (error instanceof WeaveError && error.code === "WEAVE_ADDRESS_INVALID") throw error;
    const why = errorText(error);
    log.warn("a call was forwarded unchanged", { call: callText(request), why });
    return { bytes, warning: `this container is not on the weave network: ${why.replaceAll("\n", " ")}` };
  }
}
