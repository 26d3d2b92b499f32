/** The overlays that the benchmark knows, which of them this machine has, and how each is started. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { type Bed, type Ends, found } from "#test/bench/bed.js";
import { fastd, fastdp, openvpn, tinc, vpncloud, vxlan, weave } from "#test/bench/layer2.js";
import { nebula, wireGuard } from "#test/bench/layer3.js";

/** Builds peers that Debian does not have, or not in this version. */
const PEERS_SCRIPT = new URL("../../../scripts/peers.sh", import.meta.url).pathname;

/** What an overlay is compared with: those that one uses for the same purpose are compared with one another. */
export type Kind = "reference" | "ours" | "peer";

export interface Overlay {
  readonly name: string;
  readonly kind: Kind;
  readonly layer: 2 | 3;
  /** Its cipher, as configured here; "none" where it has none. */
  readonly cipher: string;
  /** Where its programs come from; empty for the kernel's own. */
  readonly version: string;
  readonly start: (bed: Bed) => Promise<Ends>;
}

export interface Missing {
  readonly name: string;
  readonly reason: string;
}

/** Builds those of these peers that are not built yet, and reports on standard error what it does. What fails is missing later. */
export function buildPeers(names: readonly string[]): void {
  spawnSync("bash", [PEERS_SCRIPT, ...names], { stdio: ["ignore", "inherit", "inherit"] });
}

/** Newer versions, built by scripts/peers.sh. */
class BuiltPeers {
  readonly #rows: ReadonlyMap<string, { version: string; folder: string; reason: string }>;

  /** @throws Error: the script does not run */
  constructor() {
    const { status, stdout, stderr } = spawnSync("bash", [PEERS_SCRIPT, "--list"], { encoding: "utf8" });
    if (status !== 0) throw new Error(`scripts/peers.sh --list ended with ${status}: ${stderr}`);
    const lines = stdout.split("\n").filter((line) => line !== "");
    this.#rows = new Map(
      lines.map((line) => {
        const [name, version, folder, reason] = line.split("\t");
        return [name, { version, folder, reason }];
      }),
    );
  }

  /** Paths of a peer's programs, and its version; or why there are none. */
  programs(name: string, ...programs: string[]): { paths: string[]; version: string } | { reason: string } {
    const row = this.#rows.get(name);
    if (row === undefined) return { reason: `scripts/peers.sh does not build ${name}` };
    if (row.folder === "-") return { reason: row.reason };
    return { paths: programs.map((program) => join(row.folder, program)), version: row.version };
  }
}

/** Version of the Debian package that a program comes from, for a table. */
function packaged(name: string): string {
  const { stdout } = spawnSync("dpkg-query", ["-W", `-f=$\{Version}`, name], { encoding: "utf8" });
  return stdout ? `Debian ${stdout}` : "on the path";
}

type Peer = Omit<Overlay, "kind">;
type Choice = Peer | Missing;

/** The newest version if it was built, else Debian's. */
function newest(built: BuiltPeers, row: Omit<Peer, "start" | "version"> & Programs): Choice {
  const { name, layer, cipher, programs, packagedAs, needs = [], start } = row;
  for (const need of needs) if (!found(need)) return { name, reason: `${need} is not installed` };
  const own = built.programs(name, ...programs);
  if ("paths" in own) return { name, layer, cipher, version: own.version, start: (bed: Bed) => start(bed, own.paths) };
  if (packagedAs === undefined) return { name, reason: own.reason };
  if (!packagedAs.every(found)) return { name, reason: `${own.reason}; Debian's is not installed` };
  return { name, layer, cipher, version: packaged(name), start: (bed: Bed) => start(bed, packagedAs) };
}

interface Programs {
  /** As scripts/peers.sh builds them. */
  readonly programs: readonly string[];
  /** As Debian names them. */
  readonly packagedAs?: readonly string[];
  readonly needs?: readonly string[];
  readonly start: (bed: Bed, programs: readonly string[]) => Promise<Ends>;
}

/** A peer that Debian has in a version worth comparing with. */
function debian(name: string, cipher: string, needs: readonly string[], start: (bed: Bed) => Promise<Ends>): Choice {
  const lacking = needs.find((need) => !found(need));
  if (lacking !== undefined) return { name, reason: `${lacking} is not installed` };
  return { name, layer: 2, cipher, version: packaged(name), start };
}

const CHACHA = "ChaCha20-Poly1305";

function peers(): Choice[] {
  const built = new BuiltPeers();
  const needs = ["wg"];
  // Both drop to the user that called sudo; a shell of root has none.
  const foreground = ["--foreground", "--disable-drop-privileges"];
  return [
    newest(built, {
      name: "wireguard-go",
      layer: 3,
      cipher: CHACHA,
      programs: ["wireguard"],
      packagedAs: ["wireguard-go"],
      needs,
      start: (bed, [program]) => wireGuard(bed, [program, "-f"]),
    }),
    newest(built, {
      name: "boringtun",
      layer: 3,
      cipher: CHACHA,
      programs: ["boringtun-cli"],
      needs,
      start: (bed, [program]) => wireGuard(bed, [program, ...foreground]),
    }),
    newest(built, {
      name: "gotatun",
      layer: 3,
      cipher: CHACHA,
      programs: ["gotatun"],
      needs,
      start: (bed, [program]) => wireGuard(bed, [program, ...foreground]),
    }),
    newest(built, {
      name: "nebula",
      layer: 3,
      cipher: "AES-256-GCM",
      programs: ["nebula", "nebula-cert"],
      packagedAs: ["nebula", "nebula-cert"],
      start: (bed, programs) => nebula(bed, programs),
    }),
    newest(built, {
      name: "vpncloud",
      layer: 2,
      cipher: "AES-128-GCM",
      programs: ["vpncloud"],
      start: (bed, [program]) => vpncloud(bed, program),
    }),
    debian("fastd", "AES-128-GCM", ["fastd"], fastd),
    debian("openvpn", "AES-256-GCM", ["openvpn", "openssl"], openvpn),
    debian("tinc", "AES-256-CBC, HMAC-SHA-256", ["tincd"], tinc),
  ];
}

/** Names that `--only` accepts, but for those of further builds of ours. */
export const OVERLAY_NAMES = [
  "raw",
  "vxlan",
  "fastdp",
  "ours",
  ...["wireguard-go", "boringtun", "gotatun", "nebula", "vpncloud", "fastd", "openvpn", "tinc"],
] as const;

/**
 * All overlays of this machine: the references, ours, and the peers that are there.
 *
 * @param builds programs `weave` by the name of their row
 * @param inClear the program `weave` whose kernel path in clear is measured; undefined: none
 */
export function overlays(
  builds: ReadonlyMap<string, string>,
  inClear: string | undefined,
): { there: Overlay[]; missing: Missing[] } {
  const raw = async ({ lab: { hosts } }: Bed) => ({ from: hosts[0], to: hosts[1], address: hosts[1].address });
  const kernel = { kind: "reference", layer: 2, cipher: "none", version: "" } as const;
  const there: Overlay[] = [
    { ...kernel, name: "raw", start: raw },
    { ...kernel, name: "vxlan", start: (bed) => vxlan(bed.lab) },
  ];
  if (inClear !== undefined) there.push({ ...kernel, name: "fastdp", start: (bed) => fastdp(bed, inClear) });
  for (const [name, program] of builds)
    there.push({
      name,
      kind: "ours",
      layer: 2,
      cipher: "AES-256-GCM",
      version: "",
      start: (bed) => weave(bed, program),
    });
  const missing: Missing[] = [];
  for (const peer of peers()) {
    if ("reason" in peer) missing.push(peer);
    else there.push({ ...peer, kind: "peer" });
  }
  return { there, missing };
}
