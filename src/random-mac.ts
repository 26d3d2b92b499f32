import { randomBytes } from "node:crypto";
import { macText } from "#src/mac.js";

/** Makes a random MAC, locally administered and unicast (IEEE 802, 8.2.2). */
export function randomMac(): string {
  const bytes = randomBytes(6);
  bytes[0] = (bytes[0] & 0xfc) | 0x02;
  return macText(bytes);
}
