import { BufferRing } from "#router/datapath/buffer-ring.js";
import { CommandExecutor } from "#router/datapath/command-executor.js";
import { FramePort } from "#router/datapath/frame-port.js";
import { NEXT_HOP_DATAGRAMS } from "#router/datapath/next-hop.js";
import { type Command, type Offloads, Tally } from "#router/datapath/protocol.js";
import { Receiver } from "#router/datapath/receiver.js";
import { Switch } from "#router/datapath/switch.js";
import { Transmitter } from "#router/datapath/transmitter.js";
import type { FrameTemplate } from "#router/datapath/warm-up-frames.js";
import { UdpReceiver } from "#src/linux/native/udp-receiver.js";
import { UdpSender } from "#src/linux/native/udp-sender.js";
import { endpoint } from "#src/net/endpoint.js";

/** Peers: this one, a neighbour, and one behind this one. The bit for local administration is set; they never leave this process. */
export const [SELF, NEIGHBOUR, BEHIND] = [0x0200_0000_0001, 0x0200_0000_0002, 0x0200_0000_0003];
/** MACs of a container of each. */
export const [OURS, THEIRS, FURTHER] = [0x0200_0000_0011, 0x0200_0000_0012, 0x0200_0000_0013];
/**
 * Session numbers: ours for the neighbour and for the peer behind, the neighbour's for us. Above 2^31, as half of the random ones: code that
 * was compiled for small integers alone is thrown away for the first other one.
 */
export const [TO_NEIGHBOUR, TO_BEHIND, TO_SELF] = [0x9000_0001, 0x9000_0002, 0x9000_0003];
/** UDP payload of a path with an MTU of 1500, and the segments that fit it. */
const DATAGRAM_BYTES = 1_472;
export const SEGMENT_BYTES = 1_342;
/** Datagrams in a record of a path without loss (router/carriers/sleeve/record-size.ts). */
const RECORD_DATAGRAMS = 8;
const KEY_BYTES = 32;
const SALT_BYTES = 4;
export const WARM_UP_PORTS = { self: 6_783, neighbour: 6_784 } as const;

/** The commands that open a session, as the event loop would send them. */
export function* opening(session: number, peer: number, remoteSession: number, port: number): Iterable<Command> {
  yield { do: "open", session, peer, encrypted: true, host: "127.0.0.1" };
  for (const direction of ["seal", "open"] as const) {
    // Nothing secret is sealed: the key is the same each time.
    const [key, salt] = [new Uint8Array(KEY_BYTES).fill(7), new Uint8Array(SALT_BYTES)];
    yield { do: "key", session, direction, epoch: 1, key, salt };
  }
  yield { do: "remote", session, remoteSession };
  yield { do: "next-hop", session, nextHop: { kind: NEXT_HOP_DATAGRAMS } };
  const [address, datagramBytes, datagramsPerRecord] = [endpoint("127.0.0.1", port), DATAGRAM_BYTES, RECORD_DATAGRAMS];
  yield { do: "datagrams", session, address, source: undefined, datagramBytes, datagramsPerRecord, batches: true };
}

/** The neighbour: what it sends reaches the thread; what it receives stays in its socket, and is lost. */
export class Neighbour {
  readonly #tally = new Tally();
  readonly #transmitter: Transmitter;
  readonly #switch: Switch;
  readonly #executor: CommandExecutor;

  constructor(udpFd: number, tapFd: number, offloads: Offloads) {
    const nothing = () => {};
    const sender = new UdpSender(udpFd, offloads.segment);
    const transmitter = new Transmitter(NEIGHBOUR, this.#tally, { tooBig: nothing, record: nothing, frames: nothing });
    const [tally, ring, emit, device] = [this.#tally, new BufferRing(), nothing, new FramePort(tapFd, offloads)];
    const forwarding = new Switch(NEIGHBOUR, { device, transmitter, ring, tally, emit });
    const receiver = new Receiver(
      { socket: new UdpReceiver(udpFd), switch: forwarding, ring, tally, emit },
      offloads.gro,
    );
    const deps = {
      switch: forwarding,
      transmitter,
      receiver,
      tally,
      openSender: () => sender,
      closeSender: nothing,
      emit,
    };
    this.#executor = new CommandExecutor(deps, { lane: 0, lanes: 1, openssl: offloads.openssl });
    this.#transmitter = transmitter;
    this.#switch = forwarding;
    const unicast = new Map([SELF, BEHIND].map((peer) => [peer, TO_SELF]));
    const flood = new Map([[NEIGHBOUR, [TO_SELF]]]);
    const commands: Command[] = [
      ...opening(TO_SELF, SELF, TO_NEIGHBOUR, WARM_UP_PORTS.self),
      { do: "routes", routes: { unicast, flood, relays: new Map() } },
      { do: "learn", mac: OURS, peer: SELF },
      { do: "learn", mac: FURTHER, peer: BEHIND },
    ];
    const now = performance.now();
    try {
      for (const command of commands) this.#executor.execute(command, now);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Sends a frame several times. False: no datagram has left. */
  send({ memory, length }: FrameTemplate, times: number): boolean {
    const before = this.#tally.counters.datagramsSent;
    const now = performance.now();
    this.#switch.tick(now);
    this.#switch.outbound.empty(now);
    this.#transmitter.tick(now);
    for (let i = 0; i < times; i++) this.#switch.captured(memory, 0, length);
    this.#transmitter.flush();
    return this.#tally.counters.datagramsSent > before;
  }

  close(): void {
    this.#executor.close();
  }
}
