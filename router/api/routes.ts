import { ipamReport, ipamText } from "#router/addresses/report.js";
import { ipamRoutes } from "#router/addresses/routes.js";
import { Metrics } from "#router/api/metrics.js";
import { makeReport, makeRouterReport } from "#router/api/report.js";
import { connectionsText, peersText, statusText, targetsText } from "#router/api/status.js";
import { renderTemplate, stringify } from "#router/api/template.js";
import { dockerRoutes } from "#router/docker/routes.js";
import { dnsReport, dnsText } from "#router/names/report.js";
import { dnsRoutes } from "#router/names/routes.js";
import { type Answer, type Route, route, statusRoute } from "#router/route.js";
import type { Router } from "#router/router.js";
import { parseCidr } from "#src/address.js";
import { errorText, WeaveError } from "#src/errors.js";
import { hostOf } from "#src/net/host-port.js";

/** What may be read by anybody who reaches the status port. */
export function statusRoutes(router: Router): Route[] {
  const metrics = new Metrics(router);
  const { ipam, dns } = router;
  const text = (path: string, make: () => Promise<string>): Route =>
    statusRoute(path, async () => ({ body: await make() }));
  const report = () => makeRouterReport(router, false);
  return [
    text("/status", async () => statusText(await makeReport(router, false))),
    text("/status/targets", async () => targetsText(await report())),
    text("/status/connections", async () => connectionsText(await report())),
    text("/status/peers", async () => peersText(await report())),
    ...(ipam === undefined
      ? []
      : [text("/status/ipam", async () => ipamText(ipam, ipamReport(ipam, performance.now()), unconnected(router)))]),
    ...(dns === undefined ? [] : [text("/status/dns", async () => dnsText(dnsReport(dns)))]),
    statusRoute("/report", async ({ accept, form }): Promise<Answer> => {
      if (accept.split(/[,;]/).some((type) => type.trim() === "application/json"))
        return { type: "application/json", body: `${stringify(await makeReport(router), 4)}\n` };
      const formats = form.getAll("format");
      if (formats.length !== 1)
        throw new WeaveError("WEAVE_TEMPLATE", "error: must supply one format parameter", {
          next: "Give ?format=TEMPLATE, or the header 'Accept: application/json' for all of it.",
        });
      return { body: renderTemplate(formats[0], await makeReport(router)) };
    }),
    metricsRoute(metrics),
  ];
}

const unconnected = (router: Router): string[] => router.mesh.status().attempts.map(({ address }) => address);

export function metricsRoutes(router: Router): Route[] {
  return [metricsRoute(new Metrics(router))];
}

function metricsRoute(metrics: Metrics): Route {
  const type = "text/plain; version=0.0.4; charset=utf-8";
  return route("GET /metrics", async () => ({ type, body: await metrics.text() }), { scope: "metrics" });
}

/** What changes the router: on the control port alone. */
export function controlRoutes(router: Router): Route[] {
  return [
    ...statusRoutes(router),
    ...ipamRoutes(router),
    ...dnsRoutes(router),
    ...dockerRoutes(router),
    route("POST /connect", async ({ form }) => {
      const errors = await router.connect(form.getAll("peer"), form.get("replace") === "true");
      return errors.length > 0 ? { status: 400, body: `${errors.join("\n")}\n` } : {};
    }),
    route("POST /forget", ({ form }) => {
      const peers = form.getAll("peer");
      const targets = new Set(router.mesh.status().targets.map(({ text }) => text));
      router.mesh.forget(peers);
      const unknown = peers.filter((peer) => !targets.has(peer)).map((peer) => JSON.stringify(peer.slice(0, 300)));
      return unknown.length === 0
        ? {}
        : {
            status: 400,
            body: unknown.map((peer) => `${peer} is no target; 'weave status targets' lists them\n`).join(""),
          };
    }),
    route("POST /expose/:ip/:prefix", async ({ params: { ip, prefix }, form }) => {
      const cidr = parseAddress(ip, prefix);
      const hosts = router.mesh.status().connections.map(({ wire }) => hostOf(wire.remoteAddress));
      try {
        await router.exposure.expose(cidr, form.get("skipNAT") !== "true", hosts);
      } catch (error) {
        const code = error instanceof WeaveError ? error.code : "WEAVE_API";
        throw new WeaveError(code, `unable to expose: ${errorText(error)}`, { cause: error });
      }
      return { status: 204 };
    }),
    route("DELETE /expose/:ip/:prefix", async ({ params: { ip, prefix } }) => {
      await router.exposure.hide(parseAddress(ip, prefix));
      return { status: 204 };
    }),
  ];
}

function parseAddress(ip: string, prefix: string) {
  try {
    return parseCidr(`${ip}/${prefix}`);
  } catch (cause) {
    throw new WeaveError("WEAVE_ADDRESS_INVALID", `unable to parse ip addr: ${errorText(cause)}`, { cause });
  }
}
