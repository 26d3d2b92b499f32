import { ARP_ETHERTYPE, PROBE_ETHERTYPE } from "#router/probes/probe-frame.js";
import { type Clock, every, type Timer } from "#src/clock.js";
import { Emitter } from "#src/emitter.js";
import { errorText } from "#src/errors.js";
import { interfaceIndex } from "#src/linux/links/interface-index.js";
import { FrameSocket } from "#src/linux/native/frame-socket.js";
import { type ClassicFilter, IF_EQUAL, KEEP, LOAD_HALF, LOAD_WORD } from "#src/linux/native/packet-filter.js";
import type { Log } from "#src/log.js";

/** Frames that wait: a flood of a container fills no more. The kernel counts some 2.5 KB for a frame of 1,500 bytes. */
const BUFFER_BYTES = 256 << 10;
/** Frames that are handled at once, and the pause after so many: 1,600 a second, of which a flood takes the event loop some 2 %. */
const READS_AT_ONCE = 32;
const PAUSE_MS = 20;
/** Interval at which it is checked whether the bridge is still the same: one that was deleted is made again within 5 s. */
const LOOK_MS = 5_000;

// linux/filter.h: SKF_AD_OFF + SKF_AD_PKTTYPE; linux/if_packet.h: PACKET_HOST.
const PACKET_TYPE = 0xffff_f000 + 4;
const PACKET_HOST = 0;
const ARP_OPERATION_AT = 20;
const ARP_REPLY = 2;
/** Passes frames to the bridge's own MAC: the bridge floods those to unknown MACs. */
const TO_US: ClassicFilter = [
  [LOAD_WORD, 0, 0, PACKET_TYPE],
  [IF_EQUAL, 0, 1, PACKET_HOST],
  [KEEP, 0, 0, 0xffff_ffff],
  [KEEP, 0, 0, 0],
];
/** The same for ARP replies alone. */
const ARP_REPLIES_TO_US: ClassicFilter = [
  [LOAD_WORD, 0, 0, PACKET_TYPE],
  [IF_EQUAL, 0, 3, PACKET_HOST],
  [LOAD_HALF, 0, 0, ARP_OPERATION_AT],
  [IF_EQUAL, 0, 1, ARP_REPLY],
  [KEEP, 0, 0, 0xffff_ffff],
  [KEEP, 0, 0, 0],
];

export interface BridgeFrameEvents {
  probe: [frame: Uint8Array];
  arp: [frame: Uint8Array];
}

/**
 * Probes enter and leave at this host's bridge, as frames of the host itself: the bridge, its ports, the frame threads and the carriers treat
 * them like any frame. A socket of one ethertype costs other frames nothing; that for ARP is open only while a container is probed.
 */
export class BridgeFrames {
  readonly events = new Emitter<BridgeFrameEvents>();
  readonly #bridge: string;
  readonly #log: Log;
  readonly #look: Timer;
  readonly #pauses = new Set<NodeJS.Timeout>();
  #index = 0;
  #probes: FrameSocket | undefined;
  #arp: FrameSocket | undefined;
  #arpUsers = 0;
  #closed = false;

  constructor(bridge: string, { clock, log }: { readonly clock: Clock; readonly log: Log }) {
    this.#bridge = bridge;
    this.#log = log;
    this.#look = every(clock, LOOK_MS, () => this.refresh());
    this.refresh();
  }

  /** Opens the sockets again where the bridge is another one than before. */
  refresh(): void {
    const index = interfaceIndex(this.#bridge);
    if (this.#closed || index === this.#index) return;
    this.#closeSockets();
    this.#index = index;
    if (index === 0) return;
    this.#probes = this.#open("probe", PROBE_ETHERTYPE, TO_US);
    if (this.#arpUsers > 0) this.#arp = this.#open("arp", ARP_ETHERTYPE, ARP_REPLIES_TO_US);
  }

  /** Sends a frame from the bridge. False: it could not be sent, because the bridge is gone or down, or the frame is larger than its MTU. */
  send(frame: Uint8Array): boolean {
    return this.#probes?.send(frame) === 0;
  }

  /** Receives ARP replies until the returned function is called. */
  useArp(): () => void {
    if (this.#arpUsers++ === 0 && this.#index !== 0) this.#arp = this.#open("arp", ARP_ETHERTYPE, ARP_REPLIES_TO_US);
    let used = true;
    return () => {
      if (!used) return;
      used = false;
      if (--this.#arpUsers > 0) return;
      this.#arp?.close();
      this.#arp = undefined;
    };
  }

  close(): void {
    this.#closed = true;
    this.#look.cancel();
    for (const pause of this.#pauses) clearTimeout(pause);
    this.#closeSockets();
  }

  #closeSockets(): void {
    this.#probes?.close();
    this.#arp?.close();
    this.#probes = undefined;
    this.#arp = undefined;
  }

  #open(event: keyof BridgeFrameEvents, ethertype: number, filter: ClassicFilter): FrameSocket | undefined {
    try {
      const socket = new FrameSocket(this.#index, ethertype, { buffer: BUFFER_BYTES, filter });
      const reader = { paused: false };
      const read = (): void => {
        if (reader.paused) return;
        for (let reads = 0; reads < READS_AT_ONCE; reads++) {
          const frame = socket.receive();
          if (frame === undefined) return;
          this.events.emit(event, frame);
        }
        reader.paused = true;
        const pause = setTimeout(() => {
          this.#pauses.delete(pause);
          reader.paused = false;
          read();
        }, PAUSE_MS);
        this.#pauses.add(pause);
      };
      socket.onInput(read);
      return socket;
    } catch (error) {
      this.#log.warn("frames of probes cannot be received", { bridge: this.#bridge, why: errorText(error) });
      return undefined;
    }
  }
}
