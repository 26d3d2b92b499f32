/** A message-oriented connection: a WebSocket in the router, memory in the simulator. */
export interface Wire {
  /** Address of the other end, `ip:port`. */
  readonly remoteAddress: string;
  /** Address of this end, `ip:port`. */
  readonly localAddress: string;
  /** Bytes accepted by {@link send} that are not sent yet. */
  readonly buffered: number;
  /** Number of bytes received from the other end, incomplete messages included. */
  readonly received: number;
  /**
   * Milliseconds since the other end's kernel last sent data or an acknowledgement; undefined where that is unknown. On a lossy
   * line packets arrive long before a message is complete.
   */
  readonly quietMs: number | undefined;
  /** Shortest round trip of the last minutes in milliseconds; undefined where it is not measured. */
  readonly roundTripMs?: number | undefined;
  /** Sends one message. @param sent called when the bytes have left this process, or never will */
  send(bytes: Uint8Array, sent?: () => void): void;
  /** Closes the connection after all sent bytes. `closed` is not called. */
  close(): void;
  /** Closes the connection immediately, with loss of unsent bytes. For connections that are not authenticated. */
  terminate(): void;
  /** Stops to read: what the other end sends waits there. Messages that have arrived already may still be delivered. */
  pause(): void;
  /** Reads again. */
  resume(): void;
  /** Begins to deliver messages to the handlers. Must be called exactly once. */
  listen(handlers: WireHandlers): void;
}

/** The receiver of a wire's messages. */
export interface WireHandlers {
  message(bytes: Uint8Array): void;
  /** Called last, when the other end has closed the connection, or the connection has failed. */
  closed(reason: string): void;
}

/** Opens a connection to `ip:port`. Rejects with a message for the operator. */
export type Dial = (address: string, signal: AbortSignal) => Promise<Wire>;

/** Resolves a name to its IPv4 addresses, at least one. Rejects with a message for the operator. */
export type Resolve = (host: string) => Promise<readonly string[]>;
