/**
 * How many packets a turn of a frame thread handles:
 *
 * - `many`: all that are there, which are read before they are sent
 * - `lone`: one, in the shortest way; it came when none was there
 * - `unsure`: one, too; there may have been more of them
 */
export type Turn = "many" | "lone" | "unsure";

/**
 * Chooses the next turn. Pure.
 *
 * A packet that is there already may be the reply to the last one: the next turn handles one. A second one in a row shows a queue.
 *
 * @param waiting the thread had nothing left to do, and has waited
 * @param fresh what has come since was not there before the wait
 */
export function nextTurn(turn: Turn, waiting: boolean, fresh: boolean): Turn {
  if (fresh) return "lone";
  return waiting && turn !== "unsure" ? "unsure" : "many";
}
