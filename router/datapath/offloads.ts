import { OFFLOADS, type OffloadName, type Offloads } from "#router/datapath/protocol.js";
import { OpensslAesGcm, opensslAvailable } from "#src/linux/native/aes-gcm.js";
import { Memory } from "#src/linux/native/memory.js";
import { KEY_BYTES, SALT_BYTES } from "#src/linux/native/record-cipher.js";

const FIELDS: Readonly<Record<OffloadName, keyof Offloads>> = {
  "vnet-header": "vnetHeader",
  tso: "tso",
  uso: "uso",
  "udp-segment": "segment",
  "udp-gro": "gro",
  openssl: "openssl",
};

/** The offloads that may be used: all except those in `off`, and OpenSSL only if it is available. */
export function allowedOffloads(off: readonly OffloadName[]): Offloads {
  const names = OFFLOADS.map((name) => [FIELDS[name], !off.includes(name)]);
  const allowed = Object.fromEntries(names) as Record<keyof Offloads, boolean>;
  return { ...allowed, openssl: allowed.openssl && opensslAvailable };
}

/** Names of the offloads in use (`on`), and of the others (`off`). */
export function offloadNames(offloads: Offloads): { on: OffloadName[]; off: OffloadName[] } {
  return {
    on: OFFLOADS.filter((name) => offloads[FIELDS[name]]),
    off: OFFLOADS.filter((name) => !offloads[FIELDS[name]]),
  };
}

/** Rate that shows AES instructions: a core with them seals some 3 GB/s, a core without 0.1 GB/s. */
const HARDWARE_BYTES_PER_MS = 500_000;
const SAMPLE_BYTES = 16_384;
/** Number of measurements; the fastest counts. */
const SAMPLES = 20;

/** Whether OpenSSL uses AES instructions. Measured, because each kind of processor reports them differently. */
function aesInHardware(): boolean {
  const memory = new Memory(SAMPLE_BYTES);
  const cipher = new OpensslAesGcm("seal", new Uint8Array(KEY_BYTES), new Uint8Array(SALT_BYTES));
  let best = Number.POSITIVE_INFINITY;
  for (let i = 0; i < SAMPLES; i++) {
    const began = performance.now();
    cipher.run(memory, 0, SAMPLE_BYTES);
    best = Math.min(best, performance.now() - began);
  }
  cipher.free();
  memory.free();
  return SAMPLE_BYTES / best > HARDWARE_BYTES_PER_MS;
}

let hardware: boolean | undefined;

/** The name of the records' cipher, for status. */
export function cipherText({ openssl }: Offloads): string {
  if (!openssl) return "AES-256-GCM by node:crypto (slow)";
  hardware ??= aesInHardware();
  return `AES-256-GCM by OpenSSL${hardware ? "" : ", without AES instructions (slow)"}`;
}
