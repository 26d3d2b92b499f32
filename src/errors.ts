/**
 * The one table of errors. A code is stable: scripts and tests may rely on it, wording may improve.
 *
 * `http` is the status the control API answers with, `exit` the exit status of the `weave` command. A message says what
 * failed and why; `next`, where there is one, names the command or change that helps.
 */
export const ERRORS = {
  WEAVE_ADDRESS_INVALID: { http: 400, exit: 1 },
  WEAVE_API: { http: 500, exit: 1 },
  WEAVE_ATTACH: { http: 500, exit: 1 },
  WEAVE_BOUNDS: { http: 500, exit: 1 },
  WEAVE_BRIDGE_FOREIGN: { http: 500, exit: 1 },
  WEAVE_CANCELLED: { http: 503, exit: 1 },
  WEAVE_COMMAND_FAILED: { http: 500, exit: 1 },
  WEAVE_CONNECTION: { http: 500, exit: 1 },
  WEAVE_CRYPTO: { http: 500, exit: 1 },
  WEAVE_DNS_MESSAGE: { http: 400, exit: 1 },
  WEAVE_DNS_NAME: { http: 400, exit: 1 },
  WEAVE_DOCKER: { http: 500, exit: 1 },
  WEAVE_DOCKER_UNAVAILABLE: { http: 502, exit: 1 },
  WEAVE_FIREWALL: { http: 500, exit: 1 },
  WEAVE_FLAG_INVALID: { http: 400, exit: 1 },
  WEAVE_FLAG_UNKNOWN: { http: 400, exit: 125 },
  WEAVE_HANDSHAKE: { http: 500, exit: 1 },
  WEAVE_IPAM: { http: 400, exit: 1 },
  WEAVE_IPAM_RANGE: { http: 400, exit: 1 },
  WEAVE_IPAM_WAIT: { http: 503, exit: 1 },
  WEAVE_MESSAGE_MALFORMED: { http: 400, exit: 1 },
  WEAVE_MESSAGE_TOO_LARGE: { http: 413, exit: 1 },
  WEAVE_NAMESPACE: { http: 404, exit: 1 },
  WEAVE_NATIVE: { http: 500, exit: 1 },
  WEAVE_NO_TUN: { http: 500, exit: 1 },
  WEAVE_NOT_ROOT: { http: 500, exit: 1 },
  WEAVE_NOT_RUNNING: { http: 503, exit: 1 },
  WEAVE_PEER_INVALID: { http: 400, exit: 1 },
  WEAVE_PLUGIN: { http: 500, exit: 1 },
  WEAVE_PLUGIN_CALL: { http: 400, exit: 1 },
  WEAVE_PORT_IN_USE: { http: 500, exit: 1 },
  WEAVE_RUNNING: { http: 500, exit: 3 },
  WEAVE_STORE: { http: 500, exit: 1 },
  WEAVE_TEMPLATE: { http: 400, exit: 1 },
  WEAVE_TOOL_MISSING: { http: 500, exit: 1 },
} as const;

export type ErrorCode = keyof typeof ERRORS;

export interface ErrorDetails {
  /** The command or change that helps. */
  readonly next?: string;
  readonly cause?: unknown;
}

/** An error that was foreseen: it names what failed, why, and the next step. */
export class WeaveError extends Error {
  override readonly name = "WeaveError";
  readonly code: ErrorCode;
  readonly next: string | undefined;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.next = details.next;
  }

  get http(): number {
    return ERRORS[this.code].http;
  }

  get exit(): number {
    return ERRORS[this.code].exit;
  }

  /** The message with its next step, as a person should see it. */
  get text(): string {
    return this.next === undefined ? this.message : `${this.message}\n${this.next}`;
  }
}

/** Characters of a bad value that are shown. */
const SHOWN = 80;

/**
 * A flag or variable with a value that it cannot have, on one line.
 *
 * @param reason why it cannot have this value, where `expected` does not say it
 */
export function invalidValue(what: string, value: unknown, expected: string, reason = ""): WeaveError {
  const text = typeof value === "string" ? value : (JSON.stringify(value) ?? "nothing");
  const short = text.length > SHOWN ? `${text.slice(0, SHOWN)}…` : text;
  const shown = typeof value === "string" ? JSON.stringify(short) : short;
  const why = reason === "" ? "" : ` (${reason})`;
  return new WeaveError("WEAVE_FLAG_INVALID", `invalid value ${shown} for ${what}: it must be ${expected}${why}`);
}

/** What to print or log of anything that was thrown. */
export function errorText(error: unknown): string {
  if (error instanceof WeaveError) return error.text;
  return error instanceof Error ? error.message : String(error);
}

/** The code of a Node system error (`ECONNREFUSED`), or undefined. */
export function systemCode(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === "string" ? code : undefined;
}
