import { callJson, REPORT_MS } from "#cli/support/client.js";

/** The router's report, with numbers of 64 bits as text. @throws WEAVE_NOT_RUNNING */
export const fullReport = <T extends object>(): Promise<T> =>
  callJson<T>({ path: "/report?numbers=text", answerMs: REPORT_MS });
