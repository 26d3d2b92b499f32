/** For this time after a move, a frame of the former peer may have been under way: it moves the MAC back no more. */
export const LATE_MS = 1_000;
/** A MAC that returns to a peer within this time after it has left it is claimed by two peers. */
export const RECLAIM_MS = 60_000;
/** For this time a MAC that returned stays where it is; twice as long after each further return. */
export const HOLD_MS = 60_000;
/** The longest hold. */
export const MAX_HOLD_MS = 10 * 60_000;

/** The moves of a MAC. Peers are numbers; times are in milliseconds on a monotonic clock. */
export interface MoveHistory {
  /** The peer that had the MAC before the last move. */
  readonly from: number;
  readonly movedAt: number;
  /** The peer that has had the MAC longest without a break, since it moves, and for how long. */
  readonly holder: number;
  readonly heldMs: number;
  /** Returns within {@link RECLAIM_MS} so far. */
  returns: number;
  /** Until this time the MAC does not move. */
  holdUntil: number;
}

/** The peer that has a MAC, and since when. */
interface Place {
  readonly peer: number;
  readonly since: number;
  readonly moves: MoveHistory | undefined;
}

/** The history after a move away from `place`. */
export function movedOn(place: Place, now: number): MoveHistory {
  const heldMs = now - place.since;
  const { moves } = place;
  const longer = moves !== undefined && moves.heldMs > heldMs;
  return {
    from: place.peer,
    movedAt: now,
    holder: longer ? moves.holder : place.peer,
    heldMs: longer ? moves.heldMs : heldMs,
    returns: moves?.returns ?? 0,
    holdUntil: moves?.holdUntil ?? 0,
  };
}

/**
 * Decides about a claim to a MAC that has moved lately. A container that moves once, or from host to host, is followed at once. A MAC
 * that returns is claimed by two peers: it stays with the one that had it longest for a hold time, so that a false claim costs the
 * owner at most {@link LATE_MS} in each.
 */
export function isReturn(place: Place, moves: MoveHistory, peer: number, now: number): "moved" | "held" | "late" {
  if (now < moves.holdUntil) return "held";
  const returns = peer === moves.from || peer === moves.holder;
  if (!returns || now - moves.movedAt >= RECLAIM_MS) return "moved";
  if (now - moves.movedAt < LATE_MS) return "late";
  moves.holdUntil = now + Math.min(MAX_HOLD_MS, HOLD_MS * 2 ** moves.returns);
  moves.returns = Math.min(moves.returns + 1, 8);
  // The one that returns has had it longest, unless the present one has had it for longer since.
  const theirs = peer === moves.holder ? moves.heldMs : 0;
  return theirs >= now - place.since ? "moved" : "held";
}

/** Whether the moves have ended so long ago that they count no more. */
export const settled = ({ movedAt, holdUntil }: MoveHistory, now: number): boolean =>
  now - movedAt >= MAX_HOLD_MS && now >= holdUntil;
