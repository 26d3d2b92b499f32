import { type ErrorCode, errorText, WeaveError } from "#src/errors.js";

/** Error codes of the CNI specification (section 5, "Error"), and this plugin's own from 100 on. */
const CNI_CODES = {
  incompatibleVersion: 1,
  unsupportedField: 2,
  unknownContainer: 3,
  invalidEnvironment: 4,
  io: 5,
  decoding: 6,
  invalidConfiguration: 7,
  tryAgain: 11,
  unavailable: 50,
  limitedConnectivity: 51,
  failed: 100,
  checkFailed: 101,
  delegateFailed: 102,
} as const;

export type CniCode = keyof typeof CNI_CODES;

/** An error of a CNI call, with the number that the runtime receives. */
export class CniError extends WeaveError {
  readonly number: number;

  /** @param kind name of the code, or a number that a delegated plugin has returned */
  constructor(
    kind: CniCode | number,
    message: string,
    details: { readonly next?: string; readonly cause?: unknown } = {},
  ) {
    super("WEAVE_CNI", message, details);
    this.number = typeof kind === "number" ? kind : CNI_CODES[kind];
  }
}

/** The error result of the specification. */
export interface CniErrorBody {
  readonly cniVersion: string;
  readonly code: number;
  readonly msg: string;
  readonly details?: string;
}

/** Codes of the specification for errors of other parts of weave; any other is {@link CNI_CODES.failed}. */
const NUMBERS: Partial<Record<ErrorCode, CniCode>> = {
  WEAVE_ADDRESS_INVALID: "invalidConfiguration",
  WEAVE_BRIDGE_FOREIGN: "unavailable",
  WEAVE_CANCELLED: "tryAgain",
  WEAVE_DNS_NAME: "invalidConfiguration",
  WEAVE_IPAM: "invalidConfiguration",
  WEAVE_IPAM_RANGE: "invalidConfiguration",
  WEAVE_IPAM_WAIT: "tryAgain",
  WEAVE_NAMESPACE: "unknownContainer",
  WEAVE_STORE: "io",
};

/** Makes the error result of a failed call. `msg` is what failed and why, `details` the next step. */
export function cniErrorBody(error: unknown, cniVersion: string): CniErrorBody {
  if (!(error instanceof WeaveError)) return { cniVersion, code: CNI_CODES.failed, msg: errorText(error) };
  const code = error instanceof CniError ? error.number : CNI_CODES[NUMBERS[error.code] ?? "failed"];
  return { cniVersion, code, msg: error.message, ...(error.next === undefined ? {} : { details: error.next }) };
}
