import { networkInterfaces } from "node:os";
import { setTimeout as delay } from "node:timers/promises";
import type { DialTarget } from "#mesh/dialling/schedule.js";
import { Mesh } from "#mesh/mesh.js";
import type { MeshOptions } from "#mesh/options.js";
import { peerText } from "#mesh/peer.js";
import { oneSecret } from "#mesh/secrets.js";
import { Trust } from "#mesh/trust/trust.js";
import { type Identity, saveIncarnation } from "#router/peers/identity.js";
import { databaseOrderStore } from "#router/peers/order-store.js";
import { passwordKey } from "#router/peers/password.js";
import { passwordWeakness } from "#router/peers/password-strength.js";
import { PeerDirectory } from "#router/peers/peer-directory.js";
import { PeerPort } from "#router/peers/peer-port.js";
import { ReceivedGarbage } from "#router/peers/received-garbage.js";
import { loadTargets, resolveHost, saveTargets } from "#router/peers/targets.js";
import { databaseTrustStore } from "#router/peers/trust-store.js";
import { dialWebSocket, listenWebSocket } from "#router/peers/ws-transport.js";
import type { StartContext } from "#router/start-context.js";
import { type Cidr, inSubnets } from "#src/address.js";
import { systemClock } from "#src/clock.js";
import { threadCpuMs } from "#src/linux/native/cpu-time.js";
import {
  collectAll,
  collectYoung,
  releaseUnusedMemory,
  separateLargeBlocks,
  usedHeapBytes,
} from "#src/linux/native/heap.js";
import type { Log } from "#src/log.js";
import { systemRandom } from "#src/random.js";
import type { Store } from "#src/store.js";

/** Time for the last messages to the peers to leave, before the sockets close. */
const FAREWELL_MS = 20;

export interface PeerOptions {
  readonly nickname: string;
  /** The address to listen at and to dial from; "" for all. */
  readonly host: string;
  readonly port: number;
  readonly password: string | undefined;
  /** The file that the password is from. */
  readonly passwordFile: string | undefined;
  readonly encryption: boolean;
  readonly trustedSubnets: readonly Cidr[];
  readonly discovery: boolean;
  /** 0: no limit. */
  readonly connectionLimit: number;
}

/** Listens for peers. Their connections wait for {@link connectMesh}. @throws WEAVE_PORT_IN_USE */
export async function openPeerPort(
  { host, port }: Pick<PeerOptions, "host" | "port">,
  { resources }: Pick<StartContext, "resources">,
): Promise<PeerPort> {
  const peerPort = new PeerPort();
  const listener = await listenWebSocket(host, port, (wire) => peerPort.receive(wire));
  resources.add("peer port", () => listener.close());
  return peerPort;
}

export interface MeshDeps extends Pick<StartContext, "store" | "events" | "resources" | "log" | "problems"> {
  readonly options: PeerOptions;
  readonly identity: Identity;
  readonly overlay: MeshOptions["overlay"];
}

/** Creates the mesh of peers. It neither accepts nor dials peers before {@link connectMesh}. */
export async function startMesh(deps: MeshDeps): Promise<Mesh> {
  const { options, identity, overlay, store, events, resources, log, problems } = deps;
  const { password, passwordFile, host, encryption, trustedSubnets } = options;
  const weakness = password === undefined ? undefined : passwordWeakness(password);
  if (weakness !== undefined) log.warn("the password is weak", { why: weakness });
  const psk = password === undefined ? undefined : await passwordKey(password);
  const trust = new Trust({
    self: { name: identity.name, nickname: options.nickname, identity: identity.signer.identity },
    clock: systemClock,
    store: databaseTrustStore(store),
    log,
  });
  resources.add("pins", () => trust.flush());
  separateLargeBlocks();
  const garbage = new ReceivedGarbage({
    clock: systemClock,
    collectYoung,
    collectAll,
    usedHeapBytes,
    releaseUnusedMemory,
  });
  const mesh = new Mesh({
    name: identity.name,
    nickname: options.nickname,
    incarnation: identity.incarnation,
    staticKey: identity.staticKey,
    signer: identity.signer,
    secrets: oneSecret(psk),
    orders: databaseOrderStore({ key: psk, file: passwordFile }, { store, log, problems }),
    trust,
    port: options.port,
    discovery: options.discovery,
    connectionLimit: options.connectionLimit,
    clear: (remote) => !encryption || inSubnets(remote, trustedSubnets),
    overlay,
    dial: (address, signal) => dialWebSocket(address, host || undefined, signal),
    resolve: resolveHost,
    ownAddresses,
    clock: systemClock,
    cpuTime: threadCpuMs,
    received: (bytes, isPart) => garbage.received(bytes, isPart),
    random: systemRandom,
    log,
    events: {
      routes: () => void events.emit("routes"),
      suspended: (peer) => {
        log.info("peer unreachable", { peer });
        events.emit("suspended", peer);
      },
      resumed: (peer) => log.info("peer reachable again", { peer }),
      forgotten: (peer) => {
        log.info("peer forgotten", { peer });
        events.emit("forgotten", peer);
      },
      incarnation: (now) => saveIncarnation(store, now),
      targets: (now) => saveTargets(store, now),
    },
  });
  resources.add("mesh", async () => {
    mesh.stop();
    await delay(FAREWELL_MS);
  });
  return mesh;
}

/** Creates the directory of known peers, and updates it with the routes. @throws WEAVE_STORE */
export function followPeers(mesh: Mesh, { store, events }: Pick<StartContext, "store" | "events">): PeerDirectory {
  const directory = new PeerDirectory(mesh, store);
  events.on("routes", () => directory.update());
  return directory;
}

/**
 * The initial targets: those of this launch, or with `resume` those of the last run.
 *
 * @throws WEAVE_STORE
 */
export function firstTargets(
  {
    resume,
    targets,
    port,
  }: { readonly resume: boolean; readonly targets: readonly DialTarget[]; readonly port: number },
  store: Store,
): readonly DialTarget[] {
  return resume ? loadTargets(store, port) : targets;
}

/** Starts to accept peers and to dial the targets. This is the last step of a start. */
export function connectMesh(
  mesh: Mesh,
  { peerPort, targets }: { readonly peerPort: PeerPort; readonly targets: readonly DialTarget[] },
  options: Pick<PeerOptions, "port" | "password"> & { readonly mtu: number },
  log: Log,
): void {
  const { port, password, mtu } = options;
  peerPort.open((wire) => mesh.accept(wire));
  mesh.connect(targets, true);
  log.info("router started", { peer: peerText(mesh.status().self), port, password: password !== undefined, mtu });
}

function ownAddresses(): ReadonlySet<string> {
  return new Set(Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map(({ address }) => address)));
}
