import type { News } from "#mesh/gossip.js";
import type { Proof } from "#mesh/replica/equivocations.js";
import {
  encodeReplicaMessage,
  encodeVersion,
  MAX_SET_MESSAGE_BYTES,
  type StateMessage,
} from "#mesh/replica/replica-message.js";
import { PROOF_VERSION } from "#mesh/replica/summary.js";

/** What is gossiped of a state. One that is too long for a message is only offered. */
export function newsOfState({ part: _, ...state }: StateMessage): News {
  const { origin, incarnation, version } = state;
  let payload = encodeReplicaMessage({ kind: "states", states: [state] });
  if (payload.length > MAX_SET_MESSAGE_BYTES)
    payload = encodeReplicaMessage({ kind: "have", origins: [{ origin, incarnation, version }] });
  return { payload, notice: encodeVersion(state), subject: origin };
}

/** What is gossiped of a proof. */
export function newsOfProof(proof: Proof): News {
  const { origin, incarnation } = proof.first;
  const notice = encodeVersion({ origin, incarnation, version: PROOF_VERSION });
  return { payload: encodeReplicaMessage({ kind: "proof", proof }), notice, subject: origin };
}
