import type { StatusSource } from "#cli/json/status-documents.js";
import { call, REPORT_MS } from "#cli/support/client.js";
import { FULL_REPORT } from "#cli/support/full-report.js";
import { launchOptions } from "#cli/support/launched.js";
import { DEFAULT_RANGE } from "#router/addresses/flags.js";
import { ROUTER_FLAGS } from "#router/flags.js";
import type { LaunchOptions } from "#router/options.js";
import { errorText } from "#src/errors.js";
import { defaultValue } from "#src/flag.js";
import { JSON_TYPE } from "#src/http/answer.js";
import { controlSocket, paths } from "#src/paths.js";

/** What all checks know of the host. */
export interface HostFacts {
  /** The router's report; undefined: none answers. */
  readonly report: StatusSource | undefined;
  /** Why none answers. */
  readonly silence: string;
  /** Options of the last launch; empty if there was none. */
  readonly launched: Partial<LaunchOptions>;
  /** Other hosts that the user named, `host[:port]`. */
  readonly targets: readonly string[];
  /** With defaults, where there was no launch. */
  readonly port: number;
  readonly bridge: string;
  /** "" without IPAM. */
  readonly range: string;
  /** Folders of state, sockets and log, each with the variable that moves it. */
  readonly folders: readonly (readonly [folder: string, variable: string])[];
}

/** Longest wait for the report: the checks need time, too. */
const REPORT_WAIT_MS = Math.min(REPORT_MS, 3_000);

/** Collects the facts. Works on a host where no router runs, or ever ran. */
export async function hostFacts(targets: readonly string[]): Promise<HostFacts> {
  const launched = launchOptions();
  const { run, dbPrefix, log } = paths();
  const folderOf = (path: string) => path.slice(0, path.lastIndexOf("/"));
  return {
    ...(await report(run)),
    launched,
    targets,
    port: launched.port ?? defaultValue(ROUTER_FLAGS.port, process.env),
    bridge: launched.bridge ?? defaultValue(ROUTER_FLAGS.bridge, process.env),
    range: launched.ipallocRange ?? DEFAULT_RANGE,
    folders: [
      [folderOf(launched.dbPrefix ?? dbPrefix), "WEAVE_STATE_DIR"],
      [run, "WEAVE_RUN_DIR"],
      [folderOf(log), "WEAVE_LOG_DIR"],
    ],
  };
}

async function report(run: string): Promise<Pick<HostFacts, "report" | "silence">> {
  try {
    const { status, body } = await call({
      path: FULL_REPORT,
      accept: JSON_TYPE,
      address: controlSocket(run),
      answerMs: REPORT_WAIT_MS,
    });
    if (status !== 200) return { report: undefined, silence: body.trim() };
    return { report: JSON.parse(body) as StatusSource, silence: "" };
  } catch (error) {
    return { report: undefined, silence: errorText(error) };
  }
}
