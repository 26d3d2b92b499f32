import { AssemblyBudget } from "#mesh/connection/assembly-budget.js";
import { Channel } from "#mesh/connection/channel.js";
import type { Handshake, HandshakeEffect } from "#mesh/handshake/handshake.js";
import { certifiedBytes, type Hello } from "#mesh/handshake/hello.js";
import { Initiator, type InitiatorOptions } from "#mesh/handshake/initiator.js";
import { keyPair } from "#mesh/handshake/noise.js";
import { PasswordKeys } from "#mesh/handshake/password-keys.js";
import { Responder, type ResponderOptions } from "#mesh/handshake/responder.js";
import { oneSecret } from "#mesh/secrets.js";
import { makeSigner } from "#mesh/signing.js";
import { toHex } from "#src/text.js";
import { seededRandom } from "#test/sim/virtual-time.js";

/** A secret of the network, 32 equal bytes. */
export const SECRET = new Uint8Array(32).fill(1);

const signer = makeSigner(new Uint8Array(32).fill(7));

/** What one end of a handshake is made of; the seed determines its keys. */
export function own(seed: number, change: Partial<Hello> = {}) {
  const random = seededRandom(seed);
  const staticKey = keyPair(random.bytes(32));
  const name = `02:00:00:00:00:0${seed}`;
  const key = toHex(staticKey.public);
  const hello: Hello = {
    name,
    nickname: `h${seed}`,
    identity: signer.identity,
    key,
    certificate: signer.sign("static-key", certifiedBytes({ name, key })),
    uid: toHex(random.bytes(8)),
    incarnation: 1,
    connectionId: seed,
    clock: 1,
    clear: false,
    overlays: ["sleeve"],
    ...change,
  };
  return { staticKey, random, hello };
}

/** The dialling end. */
export function initiator(secret?: Uint8Array, change: Partial<InitiatorOptions> = {}): Initiator {
  return new Initiator({ ...own(1), password: new PasswordKeys(oneSecret(secret)).forDial("b"), ...change });
}

/** The dialled end. */
export function responder(secret?: Uint8Array, change: Partial<ResponderOptions> = {}): Responder {
  return new Responder({ ...own(2), passwords: new PasswordKeys(oneSecret(secret)), ...change });
}

/** Changes a message on its way: other bytes, several messages, or none. */
export type Change = (bytes: Uint8Array, index: number) => Uint8Array | readonly Uint8Array[];

/** Delivers the messages of two ends until neither sends any. @returns the other effects of each, and all messages */
export function talk(a: Handshake, b: Handshake, change: Change = (bytes) => bytes) {
  const seen: HandshakeEffect[][] = [[], []];
  const sent: Uint8Array[] = [];
  const queue: { to: 0 | 1; bytes: Uint8Array }[] = [];
  const take = (end: 0 | 1, effects: readonly HandshakeEffect[]) => {
    for (const effect of effects) {
      if (effect.do !== "send") {
        seen[end].push(effect);
        continue;
      }
      const changed = change(effect.bytes, sent.length);
      sent.push(effect.bytes);
      for (const bytes of changed instanceof Uint8Array ? [changed] : changed)
        queue.push({ to: end === 0 ? 1 : 0, bytes });
    }
  };
  take(0, a.start());
  for (let next = queue.shift(); next !== undefined; next = queue.shift())
    take(next.to, [a, b][next.to].receive(next.bytes));
  return { atA: seen[0], atB: seen[1], sent };
}

export const opened = (effects: readonly HandshakeEffect[]) => effects.find((effect) => effect.do === "opened");

/** The error of the end that has failed. */
export const failure = (effects: readonly HandshakeEffect[]) => effects.find((effect) => effect.do === "failed")?.error;

/** The message types, in the order in which they were sent. */
export const types = (sent: readonly Uint8Array[]) => sent.map(([type]) => type);

/** Two open channels after a handshake at the time 0: of the dialler, and of the other end. */
export function openChannels(secret?: Uint8Array, assemblies = new AssemblyBudget()): [Channel, Channel] {
  const { atA, atB } = talk(initiator(secret), responder(secret));
  const [a, b] = [opened(atA)!, opened(atB)!];
  return [
    new Channel({ initiator: true, transport: a.transport, random: seededRandom(11), assemblies }, 0),
    new Channel({ initiator: false, transport: b.transport, random: seededRandom(12), assemblies }, 0),
  ];
}
