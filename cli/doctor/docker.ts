import { existsSync } from "node:fs";
import { type DoctorCheck, type Finding, ok } from "#cli/doctor/check.js";
import type { HostFacts } from "#cli/doctor/host-facts.js";
import { engine } from "#cli/support/without-router.js";
import { DOCKER_FLAGS } from "#docker/flags.js";
import { errorText, systemCode } from "#src/errors.js";
import { defaultValue } from "#src/flag.js";
import { fetchReply } from "#src/http/client.js";
import { hasTool } from "#src/linux/exec.js";

/** Oldest API that the tests run with: Docker 20.10. */
const OLDEST_API = 1.41;
const NO_ENGINE = "no engine on this host: containers are attached as namespaces";
/** Limit for the plugin's answer. */
const ANSWER_MS = 2_000;

/** The Docker engine, and the sockets by which it calls the plugin. */
export const dockerCheck: DoctorCheck = {
  name: "Docker",
  async run(host, signal) {
    const docker = engine();
    const sockets = await pluginFindings(host, signal);
    if (docker === undefined) return [ok(NO_ENGINE), ...sockets];
    try {
      const api = await docker.negotiate();
      const what = `${docker.product} answers with API ${api}`;
      if (Number(api) >= OLDEST_API || docker.isPodman) return [ok(what), ...sockets];
      const cause = "engines before 20.10 are not tested";
      return [{ level: "warn", what, cause, remedy: "upgrade the engine" }, ...sockets];
    } catch (error) {
      const { api = "" } = host.launched.docker ?? {};
      // A launch names the usual socket where there is no engine.
      const expected = api.startsWith("tcp:") || ["dockerd", "podman"].some(hasTool);
      if (!expected) return [ok(NO_ENGINE), ...sockets];
      const [what, ...next] = errorText(error).split("\n");
      return [{ level: api === "" ? "warn" : "fail", what, remedy: next.join(" ") || undefined }, ...sockets];
    }
  },
};

/** A socket without a listener, which an ended router left: the engine waits for it at each of its steps. */
async function pluginFindings({ launched, report }: HostFacts, signal: AbortSignal): Promise<Finding[]> {
  const socket = launched.docker?.pluginSocket ?? defaultValue(DOCKER_FLAGS.pluginSocket, process.env);
  const foreign = ["spec", "json"].map((end) => `/etc/docker/plugins/weave.${end}`).filter((file) => existsSync(file));
  const findings: Finding[] = foreign.map((file) => ({
    level: "warn",
    what: `${file} names another plugin weave`,
    cause: "the engine may use it instead of weave's own",
    remedy: `remove it: 'rm ${file}'`,
  }));
  if (!existsSync(socket)) return findings;
  try {
    const call = { to: { path: socket }, method: "POST", path: "/Plugin.Activate", answerMs: ANSWER_MS, signal };
    const { status } = await fetchReply(call);
    if (status === 200) return [...findings, ok(`the plugin answers at ${socket}`)];
    return [
      ...findings,
      { level: "fail", what: `the plugin at ${socket} answers with ${status}`, remedy: "'weave restart'" },
    ];
  } catch (error) {
    const why = systemCode(error) === "ECONNREFUSED" ? "no process listens there" : errorText(error);
    return [
      ...findings,
      {
        level: "fail",
        what: `the plugin's socket ${socket} does not answer: ${why}`,
        cause: "the engine waits for it for 15 s at each step",
        remedy: report === undefined ? `'weave launch', or 'rm ${socket}'` : "'weave restart'",
      },
    ];
  }
}
