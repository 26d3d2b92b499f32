import { cpus, release } from "node:os";
import * as z from "zod/mini";
import type { Store } from "#src/store.js";

/** How fast a host carries encrypted packets of full size, in bytes per second: see `measureSpeeds`. */
export interface CarrierSpeeds {
  readonly wireguard: number;
  readonly sleeve: number;
}

/** What an end of an encrypted connection wants of the order of its carriers. */
export interface TunnelWish {
  /** `--fastdp-encrypted` of the end. */
  readonly choice: "on" | "auto";
  /** Undefined: not measured. */
  readonly speeds: CarrierSpeeds | undefined;
}

/**
 * Whether the kernel's tunnel comes before sleeve on an encrypted connection, and why. Both ends compute the same: what one host seals, the
 * other one opens, so that the slower one of the two decides the speed of each carrier. Equal ones are the tunnel's: its frames pass no
 * router.
 */
export function tunnelComesFirst(
  ours: TunnelWish,
  theirs: TunnelWish,
): { readonly first: boolean; readonly why: string } {
  for (const [end, { choice }] of [["here", ours] as const, ["at the other end", theirs] as const])
    if (choice === "on") return { first: true, why: `--fastdp-encrypted on ${end}` };
  for (const [end, { speeds }] of [["here", ours] as const, ["at the other end", theirs] as const])
    if (speeds === undefined) return { first: false, why: `WireGuard's speed is not measured ${end}` };
  const [wireguard, sleeve] = [
    Math.min(ours.speeds!.wireguard, theirs.speeds!.wireguard),
    Math.min(ours.speeds!.sleeve, theirs.speeds!.sleeve),
  ];
  const text = speedsText({ wireguard, sleeve });
  return wireguard >= sleeve
    ? { first: true, why: `measured: ${text}` }
    : { first: false, why: `measured, the slower end counts: ${text}` };
}

/** "WireGuard 310 MB/s, sleeve 890 MB/s". */
export const speedsText = ({ wireguard, sleeve }: CarrierSpeeds): string =>
  `WireGuard ${megabytes(wireguard)} MB/s, sleeve ${megabytes(sleeve)} MB/s`;

const megabytes = (bytes: number): string => {
  const value = bytes / 1e6;
  return value < 10 ? value.toFixed(1) : String(Math.round(value));
};

/** Highest speed that a peer may report: 1 PB/s. */
const MAX_SPEED = 1e15;
const speed = z.number().check(z.gt(0), z.lte(MAX_SPEED));
/** The shape of {@link CarrierSpeeds} from outside. */
export const SPEEDS_SHAPE = z.object({ wireguard: speed, sleeve: speed });

const KEY = "fastdp/speeds";
const KEPT_SHAPE = z.object({ ...SPEEDS_SHAPE.shape, on: z.string() });

/** What the speeds depend on: another kernel, processor or number of processors is measured again. */
const hostText = (): string => [release(), cpus()[0]?.model ?? "", cpus().length].join(", ");

/** Speeds that an earlier start has measured on this kernel and processor; undefined: none. */
export function keptSpeeds(store: Pick<Store, "get">): CarrierSpeeds | undefined {
  const kept = KEPT_SHAPE.safeParse(store.get(KEY));
  // A damaged value is measured again.
  if (!kept.success || kept.data.on !== hostText()) return undefined;
  const { wireguard, sleeve } = kept.data;
  return { wireguard, sleeve };
}

export function keepSpeeds(store: Pick<Store, "put">, speeds: CarrierSpeeds): void {
  store.put(KEY, { ...speeds, on: hostText() });
}
