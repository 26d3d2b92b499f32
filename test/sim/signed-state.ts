import type { PeerName } from "#mesh/peer.js";
import { signHead } from "#mesh/replica/head.js";
import { OriginRecords } from "#mesh/replica/origin-records.js";
import { RecordCodec } from "#mesh/replica/record-codec.js";
import type { RecordFormat } from "#mesh/replica/record-format.js";
import type { StateMessage } from "#mesh/replica/replica-message.js";
import type { Signer } from "#mesh/signing.js";

/** A state of a replicated set as its origin, or another identity, signs it. The last of the records has the version of the state. */
export function signedState<F extends object>(
  format: RecordFormat<F>,
  signer: Signer,
  of: { readonly origin: PeerName; readonly incarnation: number; readonly version: number },
  records: readonly F[],
): StateMessage {
  const codec = new RecordCodec(format);
  const entries = records.map((fields, i) =>
    codec.entry(fields, { origin: of.origin, version: of.version - records.length + 1 + i, tombstone: 0 }),
  );
  const { hash } = new OriginRecords<F>().try(entries, 0);
  const { signature } = signHead(signer, format.name, { ...of, horizon: 0, hash });
  return { ...of, horizon: 0, signature, since: 0, records: entries.map(({ raw }) => raw) };
}
