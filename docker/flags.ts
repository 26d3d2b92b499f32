import { join } from "node:path";
import { defaultEngine } from "#docker/engine/default-engine.js";
import { parseEngineAddress } from "#docker/engine/engine-address.js";
import { parseListen, parseMatch } from "#docker/proxy/proxy-options.js";
import { flag, offSwitch, toggle, type Values } from "#src/flag.js";
import { filePath, interfaceName, socketPath } from "#src/flag-shapes.js";
import { accepts, choice, orEmpty, repeated, text, trueFalse } from "#src/shape.js";

const DOCKER = "Docker";
const PROXY = "Docker API proxy";
/** Limit for a label, a pattern or a replacement, in characters: far above sensible ones. */
const MAX_TEXT = 1_024;

const short = text(`text of at most ${MAX_TEXT} characters`, (given) => given.length <= MAX_TEXT);

/** A flag for a PEM file, by default one of Docker's client. */
const pem = (name: string, file: string, meaning: string) =>
  flag({
    flag: name,
    shape: filePath,
    default: (env) => join(env.DOCKER_CERT_PATH || join(env.HOME || "/root", ".docker"), file),
    defaultText: `${file} in ~/.docker`,
    defaultFrom: "DOCKER_CERT_PATH",
    placeholder: "file",
    section: PROXY,
    meaning,
  });

/** Flags of `weave launch` about Docker. */
export const DOCKER_FLAGS = {
  api: flag({
    flag: "docker-api",
    shape: orEmpty(text("unix:///path or tcp://host[:port]", accepts(parseEngineAddress)), "no Docker"),
    default: defaultEngine,
    defaultText: "the engine of this host's own client, else Podman's service",
    defaultFrom: "WEAVE_DOCKER_API, -H in DOCKER_CLIENT_ARGS, or DOCKER_HOST",
    placeholder: "endpoint",
    section: DOCKER,
    meaning: "where the Docker engine, or Podman's service, answers",
  }),
  bridge: flag({
    flag: "docker-bridge",
    env: "DOCKER_BRIDGE",
    shape: interfaceName(15),
    default: "docker0",
    defaultText: "docker0, with Podman podman0",
    placeholder: "name",
    section: DOCKER,
    meaning: "Docker's own bridge: containers on it reach weaveDNS at its address",
  }),
  plugin: flag({
    flag: "plugin",
    shape: trueFalse,
    default: true,
    given: true,
    section: DOCKER,
    meaning: "network and IPAM driver for Docker; off with --plugin=false, and with Podman",
  }),
  pluginSocket: flag({
    flag: "plugin-socket",
    shape: socketPath,
    default: "/run/docker/plugins/weave.sock",
    placeholder: "path",
    section: DOCKER,
    meaning: "socket of the driver weave; the file's name is the driver's",
  }),
  meshSocket: flag({
    flag: "plugin-mesh-socket",
    shape: socketPath,
    default: "/run/docker/plugins/weavemesh.sock",
    placeholder: "path",
    section: DOCKER,
    meaning: "socket of the driver weavemesh; the file's name is the driver's",
  }),
  pluginV2: toggle(
    "plugin-v2",
    DOCKER,
    "serve --plugin-socket as a managed plugin of Docker (V2): networks of a swarm, addresses by Docker",
  ),
  proxy: flag({
    flag: "proxy",
    shape: trueFalse,
    default: true,
    given: true,
    section: PROXY,
    meaning: "proxy of Docker's API; off with --proxy=false",
  }),
  listen: flag({
    flag: "H",
    shape: repeated(text("[tcp://][host]:port with a port from 1 to 65535, or [unix://]/path", parseListen)),
    default: [],
    defaultText: "unix:///var/run/weave/weave.sock; tcp://127.0.0.1:12375 for an engine on such an address without TLS",
    placeholder: "endpoint",
    repeatable: true,
    section: PROXY,
    meaning: "where the proxy listens; may be repeated",
  }),
  hostnameFromLabel: flag({
    flag: "hostname-from-label",
    shape: short,
    default: "",
    defaultText: "the container's name",
    placeholder: "label",
    section: PROXY,
    meaning: "label of a container that contains its host name",
  }),
  hostnameMatch: flag({
    flag: "hostname-match",
    shape: text(
      `a regular expression of at most ${MAX_TEXT} characters`,
      (given) => given.length <= MAX_TEXT && parseMatch(given),
    ),
    default: "(.*)",
    placeholder: "regexp",
    section: PROXY,
    meaning: "the part of the container's name that is replaced",
  }),
  hostnameReplacement: flag({
    flag: "hostname-replacement",
    shape: short,
    default: "$1",
    placeholder: "text",
    section: PROXY,
    meaning: "the replacement; groups are $1, $name",
  }),
  rewriteInspect: toggle("rewrite-inspect", PROXY, "docker inspect shows the address on the overlay"),
  defaultIpalloc: offSwitch("no-default-ipalloc", PROXY, "only containers with WEAVE_CIDR get an address"),
  rewriteHosts: offSwitch("no-rewrite-hosts", PROXY, "containers keep the /etc/hosts that Docker writes"),
  dns: offSwitch("without-dns", PROXY, "containers do not use weaveDNS"),
  multicastRoute: offSwitch("no-multicast-route", PROXY, "containers get no route for multicast"),
  tls: flag<"off" | "on" | "verify">({
    flag: "tls",
    shape: choice({ off: "off", on: "on", verify: "verify" }),
    default: "off",
    defaultText: "as the engine",
    given: "on",
    section: PROXY,
    meaning: "TCP listeners of the proxy use TLS",
  }),
  insecureProxy: toggle(
    "insecure-proxy",
    PROXY,
    "TCP listeners without --tlsverify may be reachable from the network: every client is root on this host",
  ),
  tlsCa: pem("tlscacert", "ca.pem", "certificates of the clients that may connect"),
  tlsCert: pem("tlscert", "cert.pem", "the proxy's certificate"),
  tlsKey: pem("tlskey", "key.pem", "the proxy's private key"),
};

/** Values of {@link DOCKER_FLAGS}: the options of the Docker integration. */
export type DockerOptions = Values<typeof DOCKER_FLAGS>;

/** Flags of `weave launch` that change other flags' values, and are no options of the router. */
export const DOCKER_LAUNCH_FLAGS = {
  tlsVerify: toggle("tlsverify", PROXY, "as --tls, and clients must show a certificate of --tlscacert"),
  detectTls: offSwitch("no-detect-tls", PROXY, "ignore the TLS settings of the dockerd on this host"),
};
