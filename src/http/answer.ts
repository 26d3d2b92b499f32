import type { ServerResponse } from "node:http";
import { errorText, WeaveError } from "#src/errors.js";
import { httpStatus } from "#src/http/error-status.js";

/** What a server answers. */
export interface Answer {
  /** 200 if left out. */
  readonly status?: number;
  /** Media type of the body; plain text if left out. */
  readonly type?: string;
  readonly body?: string;
}

export const JSON_TYPE = "application/json";
const TEXT_TYPE = "text/plain; charset=utf-8";

/** An error as JSON has it; `next` is the command or change that helps. */
export interface ErrorBody {
  readonly code: string;
  readonly message: string;
  readonly next?: string;
}

export const jsonAnswer = (value: unknown, status = 200): Answer => ({
  status,
  type: JSON_TYPE,
  body: JSON.stringify(value),
});

/**
 * What to answer when a request fails: the status of the error's code (500 for an error that was not foreseen), and message and next
 * step as text, or as {@link ErrorBody} for a client that accepts JSON.
 *
 * @param accept the request's `Accept` header
 */
export function errorAnswer(error: unknown, accept = ""): Answer {
  const status = httpStatus(error);
  return acceptsJson(accept) ? jsonAnswer(errorBody(error), status) : { status, body: `${errorText(error)}\n` };
}

export function errorBody(error: unknown): ErrorBody {
  if (!(error instanceof WeaveError)) return { code: "WEAVE_API", message: errorText(error) };
  const { code, message, next } = error;
  return { code, message, ...(next === undefined ? {} : { next }) };
}

export const acceptsJson = (accept: string): boolean => accept.split(/[,;]/).some((type) => type.trim() === JSON_TYPE);

/** Sends an answer, and ends the response. After 413 the connection closes: the rest of the request stays unread. */
export function sendAnswer(response: ServerResponse, { status = 200, type = TEXT_TYPE, body = "" }: Answer): void {
  if (status === 413) response.setHeader("Connection", "close");
  const described = { "Content-Type": type, "Content-Length": Buffer.byteLength(body) };
  // An answer of status 204 has no length (RFC 9110, 8.6).
  response.writeHead(status, body !== "" ? described : status === 204 ? {} : { "Content-Length": 0 });
  response.end(body);
}
