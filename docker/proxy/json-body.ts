import type { IncomingMessage } from "node:http";
import { callText } from "#docker/proxy/call.js";
import { isObject, type JsonObject, parseExact, stringifyExact } from "#docker/proxy/json.js";
import { errorText, WeaveError } from "#src/errors.js";
import { readPrefix } from "#src/http/body.js";
import type { Log } from "#src/log.js";

/** No body of a call that is changed is longer; a longer one passes unchanged. */
const MAX_BODY = 4 << 20;

export interface JsonBody {
  /** The whole body; its beginning if {@link complete} is false. */
  readonly bytes: Buffer;
  /** Undefined if the body is no object. */
  readonly json: JsonObject | undefined;
  /** False: the body is longer than the limit, and the rest is unread. */
  readonly complete: boolean;
}

/** @throws Error when the other end closes the connection midway */
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

export const bytesOf = (value: JsonObject): Buffer => Buffer.from(stringifyExact(value));

/** What to send on in place of a request's body. */
export interface ChangedBody {
  /** Undefined: the request's own body, of which nothing is lost. */
  readonly bytes?: Buffer;
  /** Why the change was not made; for the user. */
  readonly warning?: string;
}

/**
 * Reads a request's body, and changes it. A body that cannot be changed, for whatever reason, passes unchanged.
 *
 * @param change undefined for a body that is to stay as it is
 * @throws WEAVE_ADDRESS_INVALID of `change`: the user's mistake
 */
export async function changeBody(
  request: IncomingMessage,
  log: Log,
  change: (given: JsonObject) => Promise<JsonObject | undefined>,
): Promise<ChangedBody> {
  const { bytes, json, complete } = await readJson(request);
  if (!complete) {
    log.warn("the body of a call was too long to be changed; it was passed on", { call: callText(request) });
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
    log.warn("a call was passed on unchanged", { call: callText(request), why });
    return { bytes, warning: `this container is not on the weave network: ${why.replaceAll("\n", " ")}` };
  }
}
