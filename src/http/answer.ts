import type { ServerResponse } from "node:http";
import { errorText, WeaveError } from "#src/errors.js";
import { httpStatus } from "#src/http/error-status.js";

/** The answer of a server to a request. */
export interface Answer {
  /** 200 if left out. */
  readonly status?: number;
  /** Media type of the body; plain text if left out. */
  readonly type?: string;
  readonly body?: string;
  /** Writes the body bit by bit, in place of {@link body}: the answer ends when this closes it, or its client. */
  readonly stream?: (response: ServerResponse) => void;
  /** Further headers. */
  readonly headers?: Readonly<Record<string, string>>;
}

export const JSON_TYPE = "application/json";
const TEXT_TYPE = "text/plain; charset=utf-8";

/** The JSON body of an error. `next` is the command or change that helps. */
export interface ErrorBody {
  readonly code: string;
  readonly message: string;
  readonly next?: string;
}

/** Makes an answer with a JSON body. */
export const jsonAnswer = (value: unknown, status = 200): Answer => ({
  status,
  type: JSON_TYPE,
  body: JSON.stringify(value),
});

/**
 * Makes the answer to a failed request. Its status is that of the error's code, 500 for an unexpected error. Its body is the
 * message with the next step as text, or an {@link ErrorBody} for a client that accepts JSON.
 *
 * @param accept the request's `Accept` header
 */
export function errorAnswer(error: unknown, accept = ""): Answer {
  const status = httpStatus(error);
  return acceptsJson(accept) ? jsonAnswer(errorBody(error), status) : { status, body: `${errorText(error)}\n` };
}

/** Makes the JSON body of an error. An error without a code gets WEAVE_API. */
export function errorBody(error: unknown): ErrorBody {
  if (!(error instanceof WeaveError)) return { code: "WEAVE_API", message: errorText(error) };
  const { code, message, next } = error;
  return { code, message, ...(next === undefined ? {} : { next }) };
}

/** Whether an `Accept` header names JSON. */
export const acceptsJson = (accept: string): boolean => accept.split(/[,;]/).some((type) => type.trim() === JSON_TYPE);

/** Sends an answer, and ends the response. Status 413 closes the connection, because the rest of the request is not read. */
export function sendAnswer(
  response: ServerResponse,
  { status = 200, type = TEXT_TYPE, body = "", stream, headers }: Answer,
): void {
  if (stream !== undefined && isQueued(response)) return sendAnswer(response, QUEUED);
  for (const [name, value] of Object.entries(headers ?? {})) response.setHeader(name, value);
  if (stream !== undefined) {
    response.writeHead(status, { "Content-Type": type }).flushHeaders();
    if (response.req.method === "HEAD") response.end();
    // One that is closed already is not closed again: the stream would never end.
    else if (!response.destroyed) stream(response);
    return;
  }
  if (status === 413) response.setHeader("Connection", "close");
  const described = { "Content-Type": type, "Content-Length": Buffer.byteLength(body) };
  // An answer with status 204 must not have a Content-Length (RFC 9110, 8.6).
  response.writeHead(status, body !== "" ? described : status === 204 ? {} : { "Content-Length": 0 });
  response.end(body);
}

/**
 * Whether a response waits for the end of an earlier one, as the client has sent several requests at once (RFC 9112, 9.3.2). Node.js does not
 * close it with its connection: a stream would go on for ever, and keep its place.
 */
const isQueued = ({ socket }: ServerResponse): boolean => socket === null;

const QUEUED: Answer = { status: 400, body: "an answer without an end needs a connection of its own\n" };
