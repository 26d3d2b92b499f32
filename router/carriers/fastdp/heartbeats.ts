import {
  type Heartbeat,
  type HeartbeatKeys,
  type HeartbeatRefusal,
  pathIn,
} from "#router/carriers/fastdp/heartbeat.js";
import type { MacText } from "#src/mac.js";

/** A socket for heartbeats on the bridge and on its tunnel (src/linux/vxlan/heartbeat-socket.ts). */
export interface BeatSocket {
  /**
   * @param bytes size of the frame as of an IP packet; zeros fill it
   * @param cookie of the other host
   * @returns 0, or why the kernel did not take it (errno)
   */
  send(to: MacText, from: MacText, payload: Uint8Array, bytes: number, cookie: number): number;
}

/** The paths of one tunnel, and what was refused. */
export class Heartbeats {
  readonly #self: MacText;
  readonly #all: Set<string>;
  readonly #paths = new Map<string, (payload: Uint8Array) => HeartbeatRefusal | undefined>();
  /** Heartbeats that were refused, by reason. "unknown": of no path, as after the end of a connection. */
  readonly refused: Record<HeartbeatRefusal | "unknown", number> = {
    ...{ unknown: 0, malformed: 0, forged: 0, replayed: 0 },
  };
  #socket: BeatSocket | undefined;

  /** @param all the paths of all tunnels of this host: each tunnel's socket receives the heartbeats of all */
  constructor(self: MacText, all = new Set<string>()) {
    this.#self = self;
    this.#all = all;
  }

  /** Sets the socket; undefined: there is none, and nothing is sent. */
  use(socket: BeatSocket | undefined): void {
    this.#socket = socket;
  }

  /** Handles a frame of the type of heartbeats. Anyone on the bridge may have sent it. */
  receive(payload: Uint8Array): void {
    const path = pathIn(payload);
    if (path === undefined) {
      this.refused.malformed++;
      return;
    }
    const opened = this.#paths.get(path);
    if (opened === undefined) {
      if (!this.#all.has(path)) this.refused.unknown++;
    } else {
      const refusal = opened(payload);
      if (refusal !== undefined) this.refused[refusal]++;
    }
  }

  /** Adds a path. @param onBeat called for each authentic heartbeat */
  add(keys: HeartbeatKeys, onBeat: (beat: Heartbeat) => void): void {
    this.#all.add(keys.path);
    this.#paths.set(keys.path, (payload) => {
      const beat = keys.open(payload);
      if (typeof beat === "string") return beat;
      onBeat(beat);
      return undefined;
    });
  }

  remove(keys: HeartbeatKeys): void {
    this.#paths.delete(keys.path);
    this.#all.delete(keys.path);
  }

  /** Sends a heartbeat to a peer's bridge. @param to its `bytes` are those of an IP packet that must pass the path */
  send(
    keys: HeartbeatKeys,
    to: { readonly peer: MacText; readonly cookie: number; readonly bytes: number },
    beat: Omit<Heartbeat, "received">,
  ): void {
    this.#socket?.send(to.peer, this.#self, keys.make(beat), to.bytes, to.cookie);
  }
}
