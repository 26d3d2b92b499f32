import type { FrameDevice } from "#router/datapath/frame-device.js";
import { isTransient } from "#router/datapath/frame-port.js";
import { MAX_CAPTURE } from "#router/datapath/record.js";
import type { Switch } from "#router/datapath/switch.js";
import { IN_PLACE_BYTES, type Transmitter } from "#router/datapath/transmitter.js";
import { Memory } from "#src/linux/native/memory.js";

/**
 * Number of receive calls before the TAP is polled, and of large frames read from the TAP before the socket is polled. Enough
 * to batch; few, because a small packet of the other direction waits meanwhile (64 KB take some 50 µs).
 */
export const TURN_LIMIT = 4;
/** Number of frames read from the TAP before the open batch is sent: bounds the delay of the first frame. */
const FRAMES_PER_FLUSH = 256;
/** A frame of more bytes is sent immediately: two of them do not fit one send call (64 KB). */
const LARGE_FRAME_BYTES = 32_768;
/** Further reads that must fail, too, before the TAP device counts as gone. */
const CONFIRMATIONS = 2;

/** Reads the frames of this host, and passes them to the switch. */
export class Capture {
  readonly #device: FrameDevice;
  readonly #transmitter: Transmitter;
  readonly #switch: Switch;
  readonly #frame = new Memory(MAX_CAPTURE);
  /** The last frame was a large one. */
  #bulk = false;
  /** errno of a permanent read error of the device; 0: none. */
  error = 0;

  constructor(device: FrameDevice, transmitter: Transmitter, forwarding: Switch) {
    this.#device = device;
    this.#transmitter = transmitter;
    this.#switch = forwarding;
  }

  /** Reads frames until there is none, or a limit is reached. True: there may be more. */
  many(): boolean {
    let large = 0;
    let length = 0;
    for (let i = 0; i < FRAMES_PER_FLUSH && large < TURN_LIMIT; i++) {
      length = this.#read();
      if (length < 0) break;
      if (length > LARGE_FRAME_BYTES) {
        large++;
        this.#transmitter.flush();
      }
    }
    this.#transmitter.flush();
    return length >= 0;
  }

  /** Reads one frame. True: it is a large one, and there may be more. */
  one(): boolean {
    const length = this.#read();
    this.#transmitter.flush();
    return length > LARGE_FRAME_BYTES;
  }

  /** Reads a frame, and passes it to the switch. Returns its length, or minus errno. */
  #read(): number {
    const transmitter = this.#transmitter;
    // After a large frame another one is probable, which would have to be moved.
    const memory = this.#bulk ? this.#frame : transmitter.memory;
    const offset = this.#bulk ? 0 : transmitter.place();
    let length = this.#device.read(memory, offset, MAX_CAPTURE);
    // errno is read by a second call, and the collector of the JavaScript heap may call the kernel between: one error is none.
    for (let again = 0; again < CONFIRMATIONS && length < 0 && !isTransient(length); again++)
      length = this.#device.read(memory, offset, MAX_CAPTURE);
    if (length >= 0) {
      this.#bulk = length > IN_PLACE_BYTES;
      this.#switch.captured(memory, offset, length);
    } else if (!isTransient(length)) this.error = -length;
    return length;
  }
}
