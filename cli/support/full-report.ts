import { callJson, REPORT_MS } from "#cli/support/client.js";

/** Path of the report with numbers of 64 bits as text. */
export const FULL_REPORT = "/report?numbers=text";

/** The router's report, with numbers of 64 bits as text. @throws WEAVE_NOT_RUNNING */
export const fullReport = <T extends object>(): Promise<T> => callJson<T>({ path: FULL_REPORT, answerMs: REPORT_MS });
