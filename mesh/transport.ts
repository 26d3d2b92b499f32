/** One message-oriented connection, as the mesh sees it: WebSocket in the router, memory in the simulator. */
export interface Wire {
  /** The other end, `ip:port`. */
  readonly remoteAddress: string;
  /** Our end, `ip:port`. */
  readonly localAddress: string;
  /** Bytes accepted by {@link send} that are not sent yet. */
  readonly buffered: number;
  /** Bytes received from the other end, those of an incomplete message included. */
  readonly received: number;
  /**
   * Milliseconds since the other end's kernel last sent anything, an acknowledgement for instance; undefined where that is
   * unknown. On a lossy line packets come long before a message is complete.
   */
  readonly quietMs: number | undefined;
  /** @param sent called when the bytes have left this process, or never will */
  send(bytes: Uint8Array, sent?: () => void): void;
  /** Ends the connection after the bytes sent before. `closed` is not called. */
  close(): void;
  /** As {@link close}, immediately and without waiting. For connections that are not authenticated. */
  terminate(): void;
  /** Call it once; nothing arrives before. */
  listen(handlers: WireHandlers): void;
}

export interface WireHandlers {
  message(bytes: Uint8Array): void;
  /** The other end closed, or the connection failed. No other call follows. */
  closed(reason: string): void;
}

/** Opens a connection to `ip:port`. Rejects with a message that a person can read. */
export type Dial = (address: string, signal: AbortSignal) => Promise<Wire>;

/** Finds the IPv4 addresses of a name: one at least. Rejects with a message that a person can read. */
export type Resolve = (host: string) => Promise<readonly string[]>;
