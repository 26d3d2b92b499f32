import { setImmediate as nextTurn, setTimeout as sleep } from "node:timers/promises";
import type { CarrierSpeeds } from "#router/carriers/fastdp/carrier-speeds.js";
import type { Offloads } from "#router/datapath/protocol.js";
import { closeFd, PollSet } from "#src/linux/native/files.js";
import { IoVector } from "#src/linux/native/io-vector.js";
import { Memory } from "#src/linux/native/memory.js";
import { inPrivateNetwork } from "#src/linux/native/private-network.js";
import { AAD_BYTES, type RecordCipher } from "#src/linux/native/record-cipher.js";
import { recordCipher } from "#src/linux/native/record-cipher-choice.js";
import { openFrameSockets } from "#src/linux/native/udp.js";
import { UdpReceiver } from "#src/linux/native/udp-receiver.js";
import { UdpSender } from "#src/linux/native/udp-sender.js";
import { WIREGUARD_OVERHEAD } from "#src/linux/wireguard/tunnel.js";
import { WireguardPair } from "#src/linux/wireguard/wireguard-pair.js";
import { type Endpoint, endpoint } from "#src/net/endpoint.js";

/** MTU of the links that are assumed, in bytes: that of Ethernet. */
const LINK_MTU = 1_500;
const IP_UDP_BYTES = 28;
/** Datagrams of one send, and sends of one round: a round is some 250 KB, which the receiving sockets hold. */
const SEGMENTS = 43;
const SENDS = 4;
/** Rounds of each kind: at least the first, and more within the time, in milliseconds. The fastest one counts: what else runs slows others. */
const MIN_ROUNDS = 2;
const ROUNDS_MS = 100;
/** Longest wait of a round for what is under way, in milliseconds: the event loop stands still meanwhile. */
const ARRIVAL_MS = 50;
/** How long the handshake of WireGuard may take, in milliseconds. */
const FIRST_PACKET_MS = 2_000;
const PORTS = { from: 6_784, to: 6_785 } as const;

/**
 * Measures how fast this host seals, sends, receives and opens packets of full size by WireGuard, and records as sleeve does: one flow, whose
 * both ends are here, in network namespaces of their own.
 *
 * @param offloads those that the frame path may use
 * @throws WEAVE_NAMESPACE, WEAVE_NATIVE, also when the kernel has no WireGuard, or packets are lost; the reason of an abort
 */
export async function measureSpeeds(offloads: Offloads, signal: AbortSignal): Promise<CarrierSpeeds> {
  const trials: SpeedTrial[] = [];
  const pair = await WireguardPair.open(LINK_MTU - WIREGUARD_OVERHEAD);
  try {
    const wireguard = new SpeedTrial(LINK_MTU - WIREGUARD_OVERHEAD - IP_UDP_BYTES, pair.addresses, undefined);
    trials.push(wireguard);
    wireguard.open(0, offloads, (work) => pair.inside(0, work));
    wireguard.open(1, offloads, (work) => pair.inside(1, work));
    const ciphers = makeCiphers(offloads.openssl);
    const sleeve = new SpeedTrial(LINK_MTU - IP_UDP_BYTES, ["127.0.0.1", "127.0.0.1"], ciphers);
    trials.push(sleeve);
    inPrivateNetwork(() => ([0, 1] as const).map((end) => sleeve.open(end, offloads, (work) => work())));
    await wireguard.handshake(signal);
    const until = performance.now() + ROUNDS_MS;
    // By turns: what else the host does meanwhile slows both.
    for (let round = 0; round < MIN_ROUNDS || performance.now() < until; round++)
      for (const trial of trials) {
        trial.round();
        await nextTurn(undefined, { signal });
      }
    return { wireguard: wireguard.best, sleeve: sleeve.best };
  } finally {
    for (const trial of trials) trial.close();
    pair.close();
  }
}

interface Ciphers {
  readonly seal: RecordCipher;
  readonly open: RecordCipher;
}

function makeCiphers(openssl: boolean): Ciphers {
  const kind = recordCipher({ encrypted: true, openssl });
  // Nothing that is sealed with them leaves the namespace.
  const [key, salt] = [new Uint8Array(kind.keyBytes).fill(1), new Uint8Array(kind.saltBytes)];
  return { seal: kind.create("seal", key, salt), open: kind.create("open", key, salt) };
}

/** Transfers of one kind between two sockets. */
class SpeedTrial {
  /** The rate of the fastest round in bytes per second; 0: none has succeeded. */
  best = 0;
  readonly #segmentBytes: number;
  readonly #sendBytes: number;
  readonly #addresses: readonly [string, string];
  readonly #ciphers: Ciphers | undefined;
  readonly #from: Memory;
  readonly #to: Memory;
  readonly #spans = new IoVector(1);
  #sender: UdpSender | undefined;
  #receiver: UdpReceiver | undefined;
  #poll: PollSet | undefined;
  #receivingFd = -1;
  readonly #target: Endpoint;

  /** @param ciphers seal and open what one send has; undefined: the kernel does */
  constructor(segmentBytes: number, addresses: readonly [string, string], ciphers: Ciphers | undefined) {
    this.#segmentBytes = segmentBytes;
    this.#sendBytes = SEGMENTS * segmentBytes;
    this.#addresses = addresses;
    this.#ciphers = ciphers;
    this.#from = new Memory(this.#sendBytes);
    // With room for one joined datagram too many.
    this.#to = new Memory((SENDS + 1) * this.#sendBytes);
    this.#target = endpoint(addresses[1], PORTS.to);
  }

  /** Opens the socket of an end. @param within calls a function in the end's namespace */
  open(end: 0 | 1, offloads: Offloads, within: (work: () => ReturnType<typeof openFrameSockets>) => unknown): void {
    within(() => {
      const at = endpoint(this.#addresses[end], end === 0 ? PORTS.from : PORTS.to);
      const sockets = openFrameSockets(at, 1, 0, offloads);
      const [fd] = sockets.fds;
      if (end === 0) this.#sender = new UdpSender(fd, sockets.offloads.segment);
      else {
        this.#receiver = new UdpReceiver(fd);
        this.#receivingFd = fd;
        this.#poll = new PollSet([fd]);
      }
      return sockets;
    });
  }

  /** Sends a datagram until one arrives. @throws Error when none does */
  async handshake(signal: AbortSignal): Promise<void> {
    for (let waited = 0; waited < FIRST_PACKET_MS; waited += 10) {
      if (waited % 500 === 0) this.#send(this.#segmentBytes);
      await sleep(10, undefined, { signal });
      if (this.#receive(0) > 0) return;
    }
    throw new Error("no packet passes a pair of WireGuard devices");
  }

  /** Transfers some 250 KB, and notes the rate. What is lost does not count. */
  round(): void {
    // What an earlier round has waited for in vain.
    while (this.#receive(0) > 0) {}
    const started = performance.now();
    for (let i = 0; i < SENDS; i++) {
      this.#ciphers?.seal.aad.fill(0, 0, AAD_BYTES);
      this.#ciphers?.seal.run(this.#from, 0, this.#sendBytes);
      this.#send(this.#sendBytes);
    }
    for (let received = 0, opened = 0; received < SENDS * this.#sendBytes; ) {
      const bytes = this.#receive(received);
      if (bytes > 0) received += bytes;
      else {
        this.#poll!.wait(ARRIVAL_MS);
        if (!this.#poll!.any) return;
      }
      for (; this.#ciphers !== undefined && received >= opened + this.#sendBytes; opened += this.#sendBytes) {
        this.#ciphers.open.aad.fill(0, 0, AAD_BYTES);
        if (!this.#ciphers.open.run(this.#to, opened, this.#sendBytes)) return;
      }
    }
    this.best = Math.max(this.best, (SENDS * this.#sendBytes * 1_000) / (performance.now() - started));
  }

  close(): void {
    this.#sender?.close();
    if (this.#receivingFd >= 0) closeFd(this.#receivingFd);
    this.#ciphers?.seal.free();
    this.#ciphers?.open.free();
    this.#from.free();
    this.#to.free();
  }

  #send(bytes: number): void {
    this.#spans.clear();
    this.#spans.push(this.#from, 0, bytes);
    const path = { address: this.#target, source: undefined, batches: true };
    this.#sender!.send(this.#spans, this.#segmentBytes, 1, path);
  }

  /** @returns the number of bytes; not above zero: there is nothing */
  #receive(at: number): number {
    this.#spans.clear();
    this.#spans.push(this.#to, at, this.#to.size - at);
    return this.#receiver!.receive(this.#spans);
  }
}
