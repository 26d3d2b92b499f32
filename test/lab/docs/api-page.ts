import { apiRoutes } from "#router/api/routes.js";
import type { Route } from "#router/route.js";
import type { Metric } from "#router/service.js";
import { type ServicesDeps, servicesOf } from "#router/services.js";
import { Problems } from "#src/problems.js";

/** What each call of the HTTP API does. A call without a row here, and a row without a call, fail the build of the page. */
const SUMMARIES: Readonly<Record<string, string>> = {
  "GET /status": "State of the router as text.",
  "GET /status/targets": "Targets, one a line.",
  "GET /status/connections": "Connections and refused hosts as text.",
  "GET /status/peers": "Peers and their links as text.",
  "GET /status/ipam": "Owners of addresses, blocked requests and contested addresses as text.",
  "GET /status/dns": "Names as text.",
  "GET /report":
    "State of the router: JSON with `Accept: application/json` (numbers of 64 bits as strings with `numbers=text`), or rendered by the Go template `format`.",
  "GET /metrics": "Metrics in Prometheus' text format.",
  "GET /healthz": "Answers 200 while the process lives, also while it starts.",
  "GET /readyz": "Answers 200 when the router has started, and 503 before.",
  "GET /": "The page for browsers.",
  "GET /assets/:name": "A file of the page.",
  "GET /page/state": "What the page shows, as JSON (`weave.page/1`); its form may change with each version.",
  "GET /page/stream":
    "The same as server-sent events: all sections first, then those that have changed, every 2 s. 503 when 64 pages are open.",
  "POST /reload":
    "Reads the launch file again, and applies its log level, which the answer names, as JSON. Only over the Unix socket.",
  "POST /connect": "Adds the targets `peer` (repeatable); `replace=true` removes all others.",
  "POST /forget": "Removes the targets `peer` (repeatable).",
  "GET /events": "The last events of this host and of others, at most `limit` (200 by default), as JSON, oldest first.",
  "GET /events/stream":
    "New events as server-sent events, without an end: each message is a document of `GET /events` with one event. A client that sends `Last-Event-ID` first gets what came after that event, another one the last `limit` (0 by default). At most 32 clients follow, and 8 more of root at the Unix socket; one that does not read is dropped.",
  "GET /identity": "Name, identity and key of this peer as JSON.",
  "POST /identity/retire":
    "Announces to all peers that the identity of this peer ends; they never accept it again. Only `weave reset` calls it.",
  "GET /trust": "The identity that each name belongs to on this host, excluded peers and conflicts, as JSON.",
  "POST /rekey":
    "Changes the password of the network to `password`, or to none with `open=true`; `exclude` (repeatable) names peers that do not get it; `deadline` and `accept-old` in seconds. Only over the Unix socket.",
  "GET /rekey": "The last change of the password, and which peers lack it, as JSON.",
  "DELETE /trust/:who":
    "Forgets the identity and the exclusion of a peer, by name, nickname or fingerprint: the next peer with the name is accepted.",
  "POST /expose/:ip/:prefix": "Gives the host an address on the overlay; `skipNAT=true`: without masquerading.",
  "DELETE /expose/:ip/:prefix": "Removes an address from the host.",
  "GET /attachments": "Interfaces on the bridge, of all containers or of those named by `id` (repeatable), as JSON.",
  "GET /attachments/:target": "Identifier, name and addresses of a container or namespace as JSON.",
  "POST /attachments/:target":
    "Attaches a container or namespace (`weave:expose`: the host); `address` (repeatable), `name`, `rewrite-hosts`, `add-host`, `multicast-route=false`, `masquerade=false`, `timeout`.",
  "DELETE /attachments/:target":
    "Removes the addresses `address` (repeatable), by default all in the default subnet, and with the last one the interface.",
  "POST /capture/:target":
    "Frames of a peer, an interface of weave or a container as pcapng, while the client reads; `filter`, `count`, `seconds`, `size`, `snaplen`, and a `key` to end it by. Only over the Unix socket.",
  "DELETE /capture/:key":
    "Ends a capture by the `key` that it was started with: its answer has the frames until now. Only over the Unix socket.",
  "POST /cni/net":
    "A call of a container runtime for the CNI plugin `weave-net`, which the plugin's program passes on.",
  "POST /cni/ipam": "The same for `weave-ipam`, which assigns addresses to interfaces of other plugins.",
  "POST /probes/find":
    "Where the peer, container, address or MAC `what` is, and the first leg of the way to it, as JSON. Sends ARP probes.",
  "POST /probes/send":
    "Sends a probe to the bridge of `peer`, and one to `address` (with `mac`), and answers with the round trips in ms; `wait` in seconds.",
  "POST /probes/trace":
    "The steps of the way of frames from `from` (by default this host) to `to`, as JSON, without a verdict.",
  "GET /ring":
    "Starts the election if there is no ring, and answers when addresses can be allocated. `timeout` in seconds.",
  "GET /ipinfo/defaultsubnet": "The default subnet.",
  "GET /ipinfo/tracker": "An empty line, as from Weave Net without a tracker.",
  "GET /ipinfo/waiting": "Why requests are blocked, of all holders or of `ident`.",
  "GET /ipinfo/explain": "Owner and history of the address or peer `what`; without it, what this peer owns.",
  "GET /ip": "All leases of this peer as JSON.",
  "GET /ip/:ident": "Addresses of a holder in the default subnet, in CIDR notation, separated by spaces.",
  "GET /ip/:ident/:ip/:prefix": "Addresses of a holder in a subnet.",
  "POST /ip/:ident":
    "Allocates an address of the default subnet; the same one on repetition. `check-alive=true` rejects an ended container; `timeout` in seconds.",
  "POST /ip/:ident/:ip/:prefix": "Allocates an address of a subnet, with the same parameters.",
  "PUT /ip/:ident/:ip/:prefix":
    "Claims a certain address, with the same parameters; `noErrorOnUnknown=true` does not wait for the first ring.",
  "DELETE /ip/:ident": "Releases all addresses of a holder.",
  "DELETE /ip/:ident/:ip": "Releases one address of a holder.",
  "DELETE /peer": "Transfers all addresses of this peer to another one; it allocates none from then on.",
  "DELETE /peer/:who": "Takes over the addresses of an unreachable peer; `force=true`: also of a reachable one.",
  "GET /domain": "The domain of weaveDNS.",
  "GET /dns-address": "The IP address at which containers query weaveDNS.",
  "GET /dns-address-port": "The same, with the port.",
  "GET /name": "All DNS records as JSON.",
  "PUT /name/:ident/:address": "Gives an address the name `fqdn`.",
  "DELETE /name": "Removes names: all, or those called `fqdn`.",
  "DELETE /name/:ident": "Removes names of a holder; `fqdn` as above.",
  "DELETE /name/:ident/:address": "Removes names of a holder at one address; `fqdn` as above.",
  "GET /proxyaddrs": "Addresses at which the Docker API proxy listens, one a line.",
  "GET /docker/network":
    "Answers when Docker's network exists and the running containers are known; after 5 s at most, or when the engine does not answer.",
  "DELETE /docker/network": "Removes Docker's network before the router stops, unless containers are attached to it.",
};

/** Stands for every part of a router: routes and metrics are listed without a request or a scrape, which alone would use it. */
const unstarted: object = new Proxy({}, { get: () => unstarted });

/** The services of a router with all features. */
const services = servicesOf(unstarted as ServicesDeps);

/** All calls of the HTTP API. */
export const declaredCalls = (): readonly Route[] =>
  apiRoutes(services, { problems: new Problems(), supervision: "none", reload: () => "info" });

const PORTS = {
  metrics: "status, control, metrics",
  status: "status, control",
  control: "control",
  socket: "Unix socket",
  page: "page",
} as const;

const HEAD = `# HTTP API

Written by \`npm run docs\` from the routes of the services in \`router/\`. The control API listens at the Unix socket \`/run/weave/control.sock\` and at \`--http-addr\` (127.0.0.1:6784), the
status port at \`--status-addr\` (127.0.0.1:6782), metrics alone at \`--metrics-addr\`, the page for browsers at \`--page-addr\` (off by default). Over TCP a call that changes something needs the token of this start, unless
\`--insecure-http\` is given: [commands.md](commands.md#weave-launch-flags-peer). Parameters stand in the query or in a form body. An error has the status of its code ([errors.md](errors.md)) and a text
body, or JSON with \`Accept: application/json\`. An unknown path gets 404; a feature that is off has no paths.

## Calls

| call | ports | token | what it does |
|---|---|---|---|
`;

/** @throws Error: a call has no summary, or a summary no call */
export function apiPage(): string {
  const calls = declaredCalls();
  const names = new Set(calls.map(({ call }) => call));
  const unknown = [...names].filter((name) => SUMMARIES[name] === undefined);
  const stale = Object.keys(SUMMARIES).filter((name) => !names.has(name));
  if (unknown.length + stale.length > 0)
    throw new Error(
      `without a summary: ${unknown.join(", ") || "none"}; without a route: ${stale.join(", ") || "none"}`,
    );
  const rows = Object.keys(SUMMARIES).map((name) => {
    const { scope, changes } = calls.find(({ call }) => call === name)!;
    return `| \`${name}\` | ${PORTS[scope]} | ${changes ? "yes" : ""} | ${SUMMARIES[name]} |\n`;
  });
  return `${HEAD}${rows.join("")}\n${metricsTable()}`;
}

/** All metrics, by name. */
export const declaredMetrics = (): Metric[] =>
  services.flatMap((service) => service.metrics?.() ?? []).sort((a, b) => (a.name < b.name ? -1 : 1));

/** Names of all metrics. */
export const metricNames = (): string[] => declaredMetrics().map(({ name }) => name);

/** The units of Prometheus' names, by the end of the name without `_total`. A number of something has none. */
const UNITS: Readonly<Record<string, string>> = {
  seconds: "seconds",
  bytes: "bytes",
  ratio: "0 to 1",
  percentage: "percent",
};

export const unitOf = (name: string): string => UNITS[/([a-z]+)$/.exec(name.replace(/_total$/, ""))![1]] ?? "";

const METRICS_HEAD = `## Metrics

The labels \`peer\` and \`neighbour\` have names of peers (MACs); the first \`--metrics-peers\` (200) have series of their own, all others share the series \`others\`, and
\`weave_metrics_peers_left_out\` says how many they are. Counters count from the start of the router. Metrics marked in the column Weave Net have the name, labels and meaning of
Weave Net's, which has one more: a number of flows, which this kernel's path does not have. Alerts, their rules and a dashboard: [operations.md](operations.md#what-each-alert-means-and-what-to-do).

| metric | type | unit | labels | Weave Net | meaning |
|---|---|---|---|---|---|
`;

function metricsTable(): string {
  const rows = declaredMetrics().map(({ name, help, type, labels = [], inWeaveNet }) => {
    const cells = [
      `\`${name}\``,
      type,
      unitOf(name),
      labels.map((label) => `\`${label}\``).join(", "),
      inWeaveNet ? "yes" : "",
      help,
    ];
    return `| ${cells.join(" | ")} |\n`;
  });
  return `${METRICS_HEAD}${rows.join("")}`;
}
