import { CniError } from "#router/cni/cni-error.js";

/** Maximum bytes of a request: configuration, earlier result, and the results of delegated plugins. */
export const MAX_CNI_REQUEST = 1 << 20;
/** Maximum number of `CNI_*` variables: the specification has six. */
const MAX_VARIABLES = 64;

/** The outcome of a delegated plugin that the client has executed. */
export interface DelegateOutcome {
  /** Exit status. */
  readonly status: number;
  /** Standard output: a result, or an error result. */
  readonly stdout: string;
}

/** A call of a CNI runtime, as the client passes it on. */
export interface CniRequest {
  /** The `CNI_*` variables of the call. */
  readonly environment: Readonly<Record<string, string>>;
  /** Standard input of the call: the network configuration. */
  readonly stdin: string;
  /** The outcomes of delegated plugins in this call, in order. */
  readonly delegates: readonly DelegateOutcome[];
}

/**
 * Parses the body of a request. Its fields are separated by NUL: each variable as `NAME=VALUE`, an empty field, the standard input; after
 * each delegated plugin its exit status and its standard output.
 *
 * @throws CniError 6
 */
export function parseCniRequest(body: Buffer): CniRequest {
  if (body.length > MAX_CNI_REQUEST) throw malformed(`it is longer than ${MAX_CNI_REQUEST} bytes`);
  const environment: Record<string, string> = Object.create(null);
  let at = 0;
  for (let count = 0; ; count++) {
    const end = body.indexOf(0, at);
    if (end < 0) throw malformed("the list of variables has no end");
    const entry = body.toString("utf8", at, end);
    at = end + 1;
    if (entry === "") break;
    if (count >= MAX_VARIABLES) throw malformed(`it has more than ${MAX_VARIABLES} variables`);
    const match = /^(CNI_[A-Z_]+)=(.*)$/s.exec(entry);
    if (match === null) throw malformed(`${JSON.stringify(entry.slice(0, 64))} is no CNI variable`);
    environment[match[1]] = match[2];
  }
  const [stdin, ...rest] = body.toString("utf8", at).split("\0");
  return { environment, stdin, delegates: delegatesOf(rest) };
}

function delegatesOf(fields: readonly string[]): DelegateOutcome[] {
  if (fields.length % 2 !== 0) throw malformed("a delegated plugin's status has no output");
  const outcomes: DelegateOutcome[] = [];
  for (let index = 0; index < fields.length; index += 2) {
    if (!/^\d{1,3}$/.test(fields[index])) throw malformed("a delegated plugin's exit status is no number");
    outcomes.push({ status: Number(fields[index]), stdout: fields[index + 1] });
  }
  return outcomes;
}

const malformed = (why: string): CniError =>
  new CniError("decoding", `the request of the CNI client is malformed: ${why}`, {
    next: "Client and router may be of different versions: 'weave setup-cni' installs the client of this version.",
  });
