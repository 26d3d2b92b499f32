/** One message-oriented connection, as the mesh sees it: WebSocket in the router, memory in the simulator. */
export interface Wire {
  /** The other end, `ip:port`. */
  readonly remoteAddress: string;
  /** Our end, `ip:port`. */
  readonly localAddress: string;
  /** Bytes accepted by {@link send} that are not sent yet. */
  readonly buffered: number;
  /** Bytes that have come from the other end, also those of a message that is not whole yet. */
  readonly received: number;
  /**
   * Milliseconds since the other end's kernel has sent anything, an acknowledgement for instance; undefined where that is
   * not known. On a lossy line that is much sooner than a message is whole.
   */
  readonly quietMs: number | undefined;
  /** @param sent called when the bytes have left this process, or never will */
  send(bytes: Uint8Array, sent?: () => void): void;
  /** Ends the connection; what was sent before still goes out. `closed` is not called for it. */
  close(): void;
  /** As {@link close}, at once: nothing is waited for, and nothing is left of it. For those who are not peers (yet). */
  terminate(): void;
  /** To be called once, before anything can arrive. */
  listen(handlers: WireHandlers): void;
}

export interface WireHandlers {
  message(bytes: Uint8Array): void;
  /** The other end closed, or the connection failed. Nothing comes after it. */
  closed(reason: string): void;
}

/** Opens a connection to `ip:port`. Rejects with a message that a person can read. */
export type Dial = (address: string, signal: AbortSignal) => Promise<Wire>;

/** Finds the IPv4 addresses of a name: one at least. Rejects with a message that a person can read. */
export type Resolve = (host: string) => Promise<readonly string[]>;
