/* What the router and `weave capture` agree on. */

/** The range of a limit, and its value where none is given. */
interface LimitRange {
  readonly min: number;
  readonly max: number;
  readonly usual: number;
}

/**
 * Limits of a capture, by the names of the flags. None is unlimited: a capture that is forgotten ends, and fills no disk.
 *
 * `snaplen`: the longest frame, a super-frame of 64 KB with its Ethernet header, is whole by default.
 */
export const CAPTURE_RANGES = {
  count: { min: 1, max: 1_000_000_000, usual: 1_000_000_000 },
  seconds: { min: 1, max: 86_400, usual: 600 },
  size: { min: 4_096, max: 64 * 2 ** 30, usual: 100 * 2 ** 20 },
  snaplen: { min: 64, max: 65_549, usual: 65_549 },
} as const satisfies Readonly<Record<string, LimitRange>>;

/** Header of the answer with what was found, in words and encoded as a URI component: a name may be that of a peer and of a container. */
export const TITLE_HEADER = "weave-capture";
