import { readFileSync, statSync } from "node:fs";
import { isIP } from "node:net";

/** Minimum interval between two checks of the file. */
const CHECK_MS = 5_000;
/** Maximum number of name servers in resolv.conf(5). */
const MAX_SERVERS = 3;

/** The name servers of a resolv.conf file. The file is read again when it has changed. */
export class ResolvConf {
  readonly #path: string;
  readonly #own: (address: string) => boolean;
  #checked = Number.NEGATIVE_INFINITY;
  #stamp = "";
  #servers: readonly string[] = [];

  /** @param own whether an address is this server's own. Such addresses are excluded: queries to them would loop */
  constructor(path: string, own: (address: string) => boolean) {
    this.#path = path;
    this.#own = own;
  }

  /** Addresses in the order of the file; none when the file cannot be read. */
  get servers(): readonly string[] {
    const now = performance.now();
    if (now - this.#checked < CHECK_MS) return this.#servers;
    this.#checked = now;
    try {
      const { mtimeMs, ino, size } = statSync(this.#path);
      const stamp = `${mtimeMs} ${ino} ${size}`;
      if (stamp === this.#stamp) return this.#servers;
      this.#stamp = stamp;
      this.#servers = parseResolvConf(readFileSync(this.#path, "utf8")).filter((address) => !this.#own(address));
    } catch {
      this.#stamp = "";
      this.#servers = [];
    }
    return this.#servers;
  }
}

/** The addresses in the `nameserver` lines of a resolv.conf(5) text. */
export function parseResolvConf(text: string): string[] {
  return text
    .split("\n")
    .map((line) => /^nameserver\s+(\S+)/.exec(line)?.[1])
    .filter((address) => address !== undefined)
    .filter((address) => isIP(address.split("%")[0]) !== 0)
    .slice(0, MAX_SERVERS);
}
