import { Mesh } from "#mesh/mesh.js";
import type { MeshEvents, MeshOptions } from "#mesh/options.js";
import type { Overlay } from "#mesh/overlay.js";
import { oneSecret } from "#mesh/secrets.js";
import { memoryTrust } from "#mesh/trust/trust.js";
import { WeaveError } from "#src/errors.js";
import { silentLog } from "#src/log.js";

/** Default TCP port of peers; the same as in Weave Net. */
const DEFAULT_PORT = 6783;

type RequiredOptions = "name" | "staticKey" | "signer" | "clock" | "random" | "dial";

/** The options of {@link createMesh}, which describes the defaults. */
export interface MeshConfig
  extends Pick<MeshOptions, RequiredOptions>,
    Partial<Omit<MeshOptions, RequiredOptions | "events">> {
  readonly events?: Partial<MeshEvents>;
}

/** The overlay of a mesh that transports gossip and no frames. */
const noFrames: Overlay = {
  carriers: ["none"],
  open(link) {
    link.passes(true);
    return {
      name: "none",
      nextHop: undefined,
      receive() {},
      status: () => ({}),
      diagnostics: () => ({ keyEpoch: 0, selection: undefined, carriers: [] }),
      stop() {},
    };
  },
};

const noEvents: MeshEvents = {
  routes() {},
  suspended() {},
  resumed() {},
  forgotten() {},
  incarnation() {},
  targets() {},
};

/**
 * Makes and starts a peer of a mesh; `stop()` ends it. The caller listens, and passes each inbound connection to `accept(wire)`.
 * The defaults are: the name as nickname, the time of the start as incarnation, no password, port 6783, discovery, no limit of
 * connections, encryption, no frames, targets by address only, identities pinned in memory, no log and no events.
 */
export function createMesh({ events, ...config }: MeshConfig): Mesh {
  return new Mesh({
    nickname: config.name,
    incarnation: Math.floor(config.clock.wall()),
    port: DEFAULT_PORT,
    discovery: true,
    connectionLimit: 0,
    secrets: oneSecret(undefined),
    clear: () => false,
    overlay: noFrames,
    resolve: async (host) => {
      throw new WeaveError("WEAVE_PEER_INVALID", `${host} is a name, and this mesh resolves none`);
    },
    ownAddresses: () => new Set(),
    log: silentLog,
    trust: memoryTrust({ self: { name: config.name, identity: config.signer.identity }, clock: config.clock }),
    ...config,
    events: { ...noEvents, ...events },
  });
}
