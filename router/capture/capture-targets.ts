import { isIdOrStart } from "#docker/engine/shapes.js";
import type { Mesh } from "#mesh/mesh.js";
import { type PeerName, peerText } from "#mesh/peer.js";
import { findAttachmentTarget, type InspectContainer } from "#router/attachments/attachment-target.js";
import {
  type CaptureDevice,
  type CapturePlan,
  type OverlayFrame,
  overlayFrame,
  type PlaceOf,
} from "#router/capture/capture-plan.js";
import { CLEAR_DEVICE, ENCRYPTED_DEVICE } from "#router/carriers/fastdp/devices.js";
import { TAP_NAME } from "#router/frames/service.js";
import type { Macs } from "#router/macs/macs.js";
import { nameOneOf, peersCalled } from "#router/peers/peers-called.js";
import { addressOfCidr, isIpv4 } from "#src/address.js";
import { errorText, WeaveError } from "#src/errors.js";
import { ENDPOINT_PREFIX } from "#src/linux/links/docker-endpoint.js";
import { interfaceIndex } from "#src/linux/links/interface-index.js";
import { HOST_IFNAME_PREFIX, isPlainIfname } from "#src/linux/links/interface-names.js";
import { ipv4Of, type Link } from "#src/linux/links/links.js";
import { parseCniAlias } from "#src/linux/netns/cni-ident.js";
import { bridgePorts, listNamespaces, pairsOf } from "#src/linux/netns/inspect.js";

export interface CaptureTargetDeps {
  readonly mesh: Pick<Mesh, "status" | "peers">;
  readonly macs: Pick<Macs, "at">;
  readonly bridge: string;
  /** Undefined without Docker. */
  readonly inspect: InspectContainer | undefined;
}

const KINDS = ["peer", "interface", "container"] as const;

/** Ways of frames to other hosts: all frames with one peer pass one of them. */
const OVERLAY: Readonly<Record<string, string>> = {
  [TAP_NAME]: "to and from the router: frames of sleeve and stream before encryption, after decryption",
  [CLEAR_DEVICE]: "kernel path in clear",
  [ENCRYPTED_DEVICE]: "kernel path, before encryption by WireGuard, after decryption",
};

/**
 * Finds what a user names: a peer by name or nickname, an interface of weave, or a container by name, id, address or namespace. They are
 * looked for in this order; `peer:`, `interface:` or `container:` in front chooses.
 *
 * @throws WEAVE_CAPTURE; WEAVE_DOCKER_UNAVAILABLE
 */
export async function findCaptureTarget(text: string, deps: CaptureTargetDeps): Promise<CapturePlan> {
  const kind = KINDS.find((each) => text.startsWith(`${each}:`));
  const name = kind === undefined ? text : text.slice(kind.length + 1);
  if (name === "" || name.length > 4_096) throw noTarget(text, "it has no name, or too long a one");
  const plan =
    (kind === undefined || kind === "peer" ? peerPlan(name, deps) : undefined) ??
    (kind === undefined || kind === "interface" ? await interfacePlan(name, deps) : undefined);
  if (plan !== undefined) return plan;
  if (kind === undefined || kind === "container") return containerPlan(name, deps);
  if (kind === "peer") throw noTarget(text, "no such peer is reachable", "'weave status peers' lists them.");
  throw foreignInterface(name);
}

function peerPlan(text: string, { mesh, macs }: CaptureTargetDeps): CapturePlan | undefined {
  const { self, peers } = mesh.status();
  const found = peersCalled(text, peers);
  if (found.length === 0) return undefined;
  if (found.length > 1) throw noTarget(text, `${found.length} peers have this nickname`, nameOneOf(found));
  const [{ name }] = found;
  if (name === self.name)
    throw noTarget(
      text,
      "it is this host",
      "Name another peer, a container, or the bridge for all frames of this host.",
    );
  const title = `the peer ${peerText(found[0])}`;
  const nameOf = (peer: PeerName) => nicknameOf(mesh, peer);
  const look = (frame: OverlayFrame, outgoing: boolean) => {
    if (frame.peer === name || frame.flooded || frame.peer === undefined) return commentOf(frame, outgoing, nameOf);
    return undefined;
  };
  return {
    title,
    withoutHeartbeats: true,
    devices: () =>
      Object.keys(OVERLAY)
        .filter((device) => interfaceIndex(device) !== 0)
        .map((device) => overlayDevice(device, title, placesOf(mesh, macs), look)),
  };
}

/** The place of each MAC: where it is announced; a peer's name is the MAC of its bridge. */
const placesOf =
  (mesh: CaptureTargetDeps["mesh"], macs: CaptureTargetDeps["macs"]): PlaceOf =>
  (mac) =>
    macs.at(mac) ?? (mesh.peers.reachable().has(mac) ? mac : undefined);

const nicknameOf = (mesh: CaptureTargetDeps["mesh"], peer: PeerName): string =>
  peerText({ name: peer, nickname: mesh.peers.nickname(peer) ?? "" });

function commentOf({ peer, flooded }: OverlayFrame, outgoing: boolean, nameOf: (peer: PeerName) => string): string {
  if (flooded) return "to all hosts";
  if (peer === undefined) return "from a host that is not known yet";
  return `${outgoing ? "to" : "from"} ${nameOf(peer)}`;
}

function overlayDevice(
  name: string,
  title: string,
  placeOf: PlaceOf,
  look: (frame: OverlayFrame, outgoing: boolean) => string | undefined,
): CaptureDevice {
  return {
    name,
    description: `${title}: ${OVERLAY[name]}`,
    sent: "out",
    promiscuous: false,
    look: (frame) => look(overlayFrame(frame, placeOf), frame.outgoing),
  };
}

async function interfacePlan(
  name: string,
  { bridge, mesh, macs }: CaptureTargetDeps,
): Promise<CapturePlan | undefined> {
  if (!isPlainIfname(name) || interfaceIndex(name) === 0) return undefined;
  const title = `the interface ${name}`;
  const plan = (device: CaptureDevice): CapturePlan => ({
    title,
    withoutHeartbeats: false,
    devices: () => (interfaceIndex(name) === 0 ? [] : [device]),
  });
  if (Object.hasOwn(OVERLAY, name)) {
    const look = (frame: OverlayFrame, outgoing: boolean) =>
      commentOf(frame, outgoing, (peer) => nicknameOf(mesh, peer));
    return plan(overlayDevice(name, title, placesOf(mesh, macs), look));
  }
  const common = { name, sent: "out", look: () => "" } as const;
  if (name === bridge)
    return plan({ ...common, description: "weave's bridge: all frames of this host's containers", promiscuous: true });
  const port = (await bridgePorts(bridge)).find(({ ifname }) => ifname === name);
  if (port === undefined || !isPair(name)) return undefined;
  return plan({ ...common, description: "a port of weave's bridge", promiscuous: false });
}

/** Whether a name is that of a host end that weave or its plugin made. */
const isPair = (name: string): boolean => name.startsWith(HOST_IFNAME_PREFIX) || name.startsWith(ENDPOINT_PREFIX);

async function containerPlan(text: string, deps: CaptureTargetDeps): Promise<CapturePlan> {
  const ports = await bridgePorts(deps.bridge);
  const found = await containerPorts(text, ports, deps);
  if (found.length === 0)
    throw noTarget(
      text,
      "it is not on the network",
      `'weave attach ${text.slice(0, 64)}' attaches it; 'weave ps' lists what is.`,
    );
  const title = `the container ${text}`;
  return {
    title,
    withoutHeartbeats: false,
    devices: () =>
      found
        .filter((name) => interfaceIndex(name) !== 0)
        .map((name) => ({
          name,
          description: `${title}: the host's end of its interface`,
          sent: "in",
          promiscuous: false,
          look: () => "",
        })),
  };
}

/** Names of the ports by which a container is on the bridge. */
async function containerPorts(text: string, ports: readonly Link[], deps: CaptureTargetDeps): Promise<string[]> {
  if (isIpv4(text)) return portsWith(text, ports);
  const isThis = (id = "") => isIdOrStart(text, id);
  const cni = ports.filter(({ ifalias }) => isThis(parseCniAlias(ifalias)?.container));
  if (cni.length > 0) return cni.map(({ ifname }) => ifname);
  try {
    const { netns } = await findAttachmentTarget(text, deps.inspect);
    return (await pairsOf(netns, ports)).map(({ port }) => port.ifname);
  } catch (error) {
    if (!(error instanceof WeaveError) || error.code !== "WEAVE_NAMESPACE") throw error;
    if (isPlainIfname(text) && interfaceIndex(text) !== 0) throw foreignInterface(text);
    throw noTarget(
      text,
      `it is no peer, no interface of weave and no container of this host (${errorText(error).split("\n")[0]})`,
    );
  }
}

async function portsWith(address: string, ports: readonly Link[]): Promise<string[]> {
  for (const { netns } of listNamespaces())
    for (const { link, port } of await pairsOf(netns, ports))
      if (ipv4Of(link).some((cidr) => addressOfCidr(cidr) === address)) return [port.ifname];
  throw noTarget(
    address,
    "no container of this host has this address",
    "Capture on the host that has it, or name the peer that it belongs to: 'weave status ipam' shows the owner.",
  );
}

const noTarget = (text: string, why: string, next?: string): WeaveError =>
  new WeaveError("WEAVE_CAPTURE", `cannot capture ${JSON.stringify(text.slice(0, 64))}: ${why}`, {
    next:
      next ??
      "'weave status peers' lists peers, 'weave ps' containers; 'peer:', 'interface:' or 'container:' in front of a name chooses.",
  });

const foreignInterface = (name: string): WeaveError =>
  noTarget(
    name,
    "it is not an interface of weave",
    `For other interfaces use tcpdump: tcpdump -i ${isPlainIfname(name) ? name : "NAME"}`,
  );
