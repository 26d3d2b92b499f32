import { OFFLOADS, type OffloadName, type Offloads } from "#router/datapath/protocol.js";
import { opensslAvailable } from "#src/linux/native/aes-gcm.js";
import { recordCipher } from "#src/linux/native/record-cipher-choice.js";

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

/** The name of the records' cipher, for status. */
export function cipherText({ openssl }: Offloads): string {
  const { title, statusNote } = recordCipher({ encrypted: true, openssl });
  return `${title}${statusNote()}`;
}
