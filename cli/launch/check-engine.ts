import { clientTls } from "#docker/engine/client-tls.js";
import { Engine } from "#docker/engine/engine.js";
import { parseEngineAddress } from "#docker/engine/engine-address.js";
import { errorText, systemCode, WeaveError } from "#src/errors.js";

/** Errors of connect(2) where no engine runs: one may start later. */
const AWAY = ["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "EHOSTUNREACH", "ENETUNREACH", "ETIMEDOUT"];

/**
 * Where the user's Docker client uses TLS, an engine that answers must speak it.
 *
 * @throws WEAVE_DOCKER
 */
export async function checkEngine(api: string, env: NodeJS.ProcessEnv): Promise<void> {
  const wanted = clientTls(env);
  if (wanted === undefined || !api.startsWith("tcp://")) return;
  try {
    await new Engine(parseEngineAddress(api, env)).negotiate();
  } catch (error) {
    const cause = error instanceof WeaveError ? error.cause : error;
    const code = systemCode(cause) ?? "";
    if (AWAY.includes(code)) return;
    throw new WeaveError(
      "WEAVE_DOCKER",
      `the engine at ${api} does not answer by TLS, which ${wanted.source} asks for: ${errorText(cause ?? error)}`,
      {
        cause: error,
        next: "Unset it for an engine without TLS; else look at its certificates and those in DOCKER_CERT_PATH.",
      },
    );
  }
}
