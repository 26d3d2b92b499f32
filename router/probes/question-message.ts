import * as z from "zod/mini";
import { answerShape, type ProbeAnswer, type ProbeQuestion, questionShape } from "#router/probes/facts.js";
import { decode, encode } from "#src/codec.js";
import { WeaveError } from "#src/errors.js";

/** Longest message in bytes, and number of values in it: an answer with {@link MAX_ENDPOINTS} interfaces has fewer. */
export const MAX_QUESTION_BYTES = 8_192;
const MAX_ITEMS = 512;

const id = z.string().check(z.regex(/^[0-9a-f]{32}$/));
const messageShape = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("question"), id, question: questionShape }),
  z.object({ kind: z.literal("answer"), id, answer: answerShape }),
]);

/** A message of the channel: a question, or the answer to the question of that id. */
export type QuestionMessage =
  | { readonly kind: "question"; readonly id: string; readonly question: ProbeQuestion }
  | { readonly kind: "answer"; readonly id: string; readonly answer: ProbeAnswer };

export const encodeQuestionMessage = (message: QuestionMessage): Uint8Array => encode(message);

/** Decodes a message of another peer. @throws WEAVE_MESSAGE_MALFORMED */
export function decodeQuestionMessage(payload: Uint8Array): QuestionMessage {
  if (payload.length > MAX_QUESTION_BYTES)
    throw new WeaveError("WEAVE_MESSAGE_MALFORMED", `a message about probes has more than ${MAX_QUESTION_BYTES} bytes`);
  return decode(
    messageShape as unknown as z.ZodMiniType<QuestionMessage>,
    payload,
    "a message about probes",
    MAX_ITEMS,
  );
}
