import { Nameserver } from "#dns/nameserver.js";
import { Replicas } from "#mesh/replica/replicas.js";
import { makeSigner } from "#mesh/signing.js";
import { systemClock } from "#src/clock.js";
import { silentLog } from "#src/log.js";
import { systemRandom } from "#src/random.js";
import { memoryStore } from "#src/store.js";

/** A name server without peers, for those who look at how it answers. */
export function lonelyNameserver(): Nameserver {
  return new Nameserver({
    self: "02:00:00:00:00:01",
    incarnation: 1,
    domain: "weave.local.",
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
    store: memoryStore(),
    prefix: "names/",
    replicas: new Replicas(makeSigner(systemRandom.bytes(32))),
    peers: {
      reachable: () => new Set(),
      nickname: () => undefined,
      identity: () => undefined,
      pinnedIdentity: () => undefined,
    },
  });
}
