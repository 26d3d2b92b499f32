import { clientTls } from "#docker/engine/client-tls.js";
import { Engine } from "#docker/engine/engine.js";
import { parseEngineAddress } from "#docker/engine/engine-address.js";
import { errorText, systemCode, WeaveError } from "#src/errors.js";

/** Errors of a connection when no engine runs. They do not fail the launch: an engine may start later. */
const NOT_RUNNING = ["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "EHOSTUNREACH", "ENETUNREACH", "ETIMEDOUT"];

/**
 * Checks that an engine on TCP answers by TLS, if the user's Docker client uses TLS.
 *
 * @throws WEAVE_DOCKER if it answers without TLS, or the handshake fails
 */
export async function checkEngine(api: string, env: NodeJS.ProcessEnv): Promise<void> {
  const wanted = clientTls(env);
  if (wanted === undefined || !api.startsWith("tcp://")) return;
  try {
    await new Engine(parseEngineAddress(api, env)).negotiate();
  } catch (error) {
    const cause = error instanceof WeaveError ? error.cause : error;
    const code = systemCode(cause) ?? "";
    if (NOT_RUNNING.includes(code)) return;
    throw new WeaveError(
      "WEAVE_DOCKER",
      `the engine at ${api} does not answer by TLS, which ${wanted.source} requires: ${errorText(cause ?? error)}`,
      {
        cause: error,
        next: "Unset it for an engine without TLS; otherwise check the engine's certificates and those in DOCKER_CERT_PATH.",
      },
    );
  }
}
