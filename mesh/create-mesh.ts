import { Mesh } from "#mesh/mesh.js";
import type { MeshEvents, MeshOptions } from "#mesh/options.js";
import type { Overlay } from "#mesh/overlay.js";
import { WeaveError } from "#src/errors.js";
import { silentLog } from "#src/log.js";

/** Weave Net's port, for the TCP connections of peers. */
const DEFAULT_PORT = 6783;

type RequiredOptions = "name" | "staticKey" | "clock" | "random" | "dial";

/** The options of a mesh. Only the required ones have no default: see {@link createMesh}. */
export interface MeshConfig
  extends Pick<MeshOptions, RequiredOptions>,
    Partial<Omit<MeshOptions, RequiredOptions | "events">> {
  readonly events?: Partial<MeshEvents>;
}

/** For a mesh that carries gossip alone. */
const noFrames: Overlay = {
  carriers: ["none"],
  open(link) {
    link.passes(true);
    return {
      name: "none",
      nextHop: undefined,
      receive() {},
      attributes: () => ({}),
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
 * Makes one peer's part of a mesh, and starts it; `stop()` ends it. Listening is the caller's: each inbound connection is
 * passed to `accept(wire)`. Options that are left out have these defaults: the name as nickname, the time of the start as
 * incarnation, no password, port 6783, discovery, no limit of connections, encryption, no frames (gossip alone), targets by
 * address only, no log and no events.
 */
export function createMesh({ events, ...config }: MeshConfig): Mesh {
  return new Mesh({
    nickname: config.name,
    incarnation: Math.floor(config.clock.wall()),
    port: DEFAULT_PORT,
    discovery: true,
    connectionLimit: 0,
    clear: () => false,
    overlay: noFrames,
    resolve: async (host) => {
      throw new WeaveError("WEAVE_PEER_INVALID", `${host} is a name, and this mesh resolves none`);
    },
    ownAddresses: () => new Set(),
    log: silentLog,
    ...config,
    events: { ...noEvents, ...events },
  });
}
