/**
 * The table of all error codes. A code is stable: scripts and tests may rely on it. The wording of messages may change.
 *
 * `meaning` describes the code in one sentence: docs/errors.md is generated from it. `exit` is the exit status of the
 * `weave` command; the status of an HTTP answer is in `src/http/error-status.ts`. A message reports what failed and why; `next`,
 * where there is one, names the command or change that helps.
 */
export const ERRORS = {
  WEAVE_ADDRESS_INVALID: {
    exit: 1,
    meaning: "An IP address, a network or a prefix length is not valid, or may not be used for this.",
  },
  WEAVE_API: {
    exit: 1,
    meaning: "The control API cannot listen, or a request failed for no reason that has a code of its own.",
  },
  WEAVE_ATTACH: { exit: 1, meaning: "A network namespace could not be attached to the bridge, or detached from it." },
  WEAVE_BACKUP: { exit: 1, meaning: "A backup cannot be written, read or used." },
  WEAVE_BOUNDS: { exit: 1, meaning: "Internal error: an access outside of native memory was prevented." },
  WEAVE_BRIDGE_FOREIGN: { exit: 1, meaning: "The name of the bridge belongs to an interface that weave did not make." },
  WEAVE_CANCELLED: { exit: 1, meaning: "The request was cancelled, or its container ended, before it was complete." },
  WEAVE_CAPTURE: { exit: 1, meaning: "Frames cannot be captured there, or in this way." },
  WEAVE_CNI: { exit: 1, meaning: "A call of a container runtime (CNI) is not valid, or could not be done." },
  WEAVE_COMMAND_FAILED: { exit: 1, meaning: "A program of this host (ip, nft, iptables) ended with an error." },
  WEAVE_CONNECTION: { exit: 1, meaning: "A connection to a peer could not be opened, or has ended." },
  WEAVE_CRYPTO: { exit: 1, meaning: "OpenSSL in this Node.js cannot do what weave needs." },
  WEAVE_DNS_MESSAGE: { exit: 1, meaning: "A DNS message is malformed." },
  WEAVE_DNS_NAME: { exit: 1, meaning: "A host name is not valid, or cannot be registered." },
  WEAVE_DOCKER: {
    exit: 1,
    meaning: "The Docker engine reported an error, or a container could not be put on the network.",
  },
  WEAVE_DOCKER_UNAVAILABLE: { exit: 1, meaning: "The Docker engine does not answer." },
  WEAVE_FILE: { exit: 1, meaning: "A file or folder of weave on this host cannot be written." },
  WEAVE_FIREWALL: { exit: 1, meaning: "The firewall of this host rejected weave's rules." },
  WEAVE_FLAG_INVALID: { exit: 1, meaning: "A flag or an environment variable has a value that it cannot have." },
  WEAVE_FLAG_UNKNOWN: { exit: 125, meaning: "The command has no flag of that name." },
  WEAVE_HANDSHAKE: {
    exit: 1,
    meaning: "A peer's handshake failed: it is malformed, not authentic, or its key is not its own.",
  },
  WEAVE_INSTALLATION: {
    exit: 1,
    meaning: "A file of this installation is missing or cannot be loaded, or weave does not support this platform.",
  },
  WEAVE_IPAM: { exit: 1, meaning: "The request contradicts the rules of address allocation." },
  WEAVE_IPAM_IN_USE: { exit: 1, meaning: "The address belongs to another container or to another peer." },
  WEAVE_IPAM_NOT_FOUND: {
    exit: 1,
    meaning: "The container, the address or the peer holds nothing that could be released.",
  },
  WEAVE_IPAM_PEER_ALIVE: { exit: 1, meaning: "The addresses of a peer that is reachable cannot be taken over." },
  WEAVE_IPAM_PEER_UNREACHABLE: { exit: 1, meaning: "The address belongs to a peer that is unreachable." },
  WEAVE_IPAM_RANGE: {
    exit: 1,
    meaning:
      "The subnet or address is outside of the range that weave allocates from, or the range conflicts with that of other peers.",
  },
  WEAVE_IPAM_WAIT: { exit: 1, meaning: "No address was available in time." },
  WEAVE_MESSAGE_MALFORMED: { exit: 1, meaning: "A message of another peer is malformed and was rejected." },
  WEAVE_MESSAGE_TOO_LARGE: { exit: 1, meaning: "A message or a request body is larger than its limit." },
  WEAVE_NAMESPACE: {
    exit: 1,
    meaning: "There is no such network namespace, process or container, or it uses the host's own network.",
  },
  WEAVE_NATIVE: { exit: 1, meaning: "A system call failed." },
  WEAVE_NOT_ROOT: { exit: 1, meaning: "The command needs root." },
  WEAVE_NOT_RUNNING: { exit: 1, meaning: "The router does not run on this host, or does not answer." },
  WEAVE_NO_TUN: { exit: 1, meaning: "The kernel has no TUN/TAP device, or weave may not use it: /dev/net/tun." },
  WEAVE_PEER_INVALID: { exit: 1, meaning: "A peer's name or address is not valid, or there is no such peer." },
  WEAVE_PLUGIN: { exit: 1, meaning: "A call of Docker's network plugin failed." },
  WEAVE_PLUGIN_CALL: { exit: 1, meaning: "Docker called the network plugin with contents that are not valid." },
  WEAVE_PORT_IN_USE: { exit: 1, meaning: "Another process uses the port." },
  WEAVE_PROBE_TARGET: {
    exit: 1,
    meaning: "No peer, container or address of the network is what a probe was to reach.",
  },
  WEAVE_REKEY: { exit: 1, meaning: "The network's secret cannot be changed in this way, or not now." },
  WEAVE_RUNNING: { exit: 3, meaning: "The router runs already, or is being launched." },
  WEAVE_STORE: {
    exit: 1,
    meaning: "The database on disk cannot be read or written, is damaged, or was written by another version.",
  },
  WEAVE_TEMPLATE: { exit: 1, meaning: "The template of a status request is not valid." },
  WEAVE_TOOL_MISSING: { exit: 1, meaning: "A program that weave needs is not installed." },
  WEAVE_USAGE: { exit: 1, meaning: "The arguments of a command are wrong." },
} as const;

export type ErrorCode = keyof typeof ERRORS;

export interface ErrorDetails {
  /** The command or change that helps. */
  readonly next?: string;
  readonly cause?: unknown;
}

/** An expected error: its message states the failure and the cause, and `next` the remedy. */
export class WeaveError extends Error {
  override readonly name = "WeaveError";
  readonly code: ErrorCode;
  readonly next: string | undefined;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.next = details.next;
  }

  get exit(): number {
    return ERRORS[this.code].exit;
  }

  /** The message, and the next step on a second line, for display. */
  get text(): string {
    return this.next === undefined ? this.message : `${this.message}\n${this.next}`;
  }
}

/** Maximum number of characters of an invalid value in an error message. */
const SHOWN = 80;

/**
 * Makes the error for an invalid value of a flag or variable, on one line.
 *
 * @param what the flag or variable
 * @param expected completes "it must be …"
 * @param reason why the value is invalid, where `expected` does not explain it
 */
export function invalidValue(what: string, value: unknown, expected: string, reason = ""): WeaveError {
  const text = typeof value === "string" ? value : (JSON.stringify(value) ?? "nothing");
  const short = text.length > SHOWN ? `${text.slice(0, SHOWN)}…` : text;
  const shown = typeof value === "string" ? JSON.stringify(short) : short;
  const why = reason === "" ? "" : ` (${reason})`;
  return new WeaveError("WEAVE_FLAG_INVALID", `invalid value ${shown} for ${what}: it must be ${expected}${why}`);
}

/** Returns the text of a thrown value, for display or the log. */
export function errorText(error: unknown): string {
  if (error instanceof WeaveError) return error.text;
  return error instanceof Error ? error.message : String(error);
}

/** Returns the code of a Node system error, such as `ECONNREFUSED`; undefined for any other value. */
export function systemCode(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === "string" ? code : undefined;
}
