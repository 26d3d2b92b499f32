import { ALIVE, HEALTH_PATH } from "#router/api/http.js";
import { MetricsPage } from "#router/api/metrics.js";
import { makeReport, makeStatus, type ProcessFacts } from "#router/api/report.js";
import { exactJson, renderTemplate, stringify } from "#router/api/template.js";
import { type Route, route, type Scope, statusRoute } from "#router/route.js";
import type { Service } from "#router/service.js";
import { WeaveError } from "#src/errors.js";
import { acceptsJson, JSON_TYPE, jsonAnswer } from "#src/http/answer.js";

const METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** All routes of the HTTP API: status, report and metrics of all services, and the routes of each service. */
export function apiRoutes(services: readonly Service[], facts: ProcessFacts): Route[] {
  const metrics = new MetricsPage(services);
  return [
    statusRoute("/status", async () => ({ body: await makeStatus(services, facts) })),
    statusRoute("/report", async ({ accept, form }) => {
      if (acceptsJson(accept)) {
        const write = form.get("numbers") === "text" ? exactJson : stringify;
        return { type: JSON_TYPE, body: `${write(await makeReport(services, facts), 4)}\n` };
      }
      const formats = form.getAll("format");
      if (formats.length !== 1)
        throw new WeaveError("WEAVE_TEMPLATE", "error: must supply one format parameter", {
          next: "Give ?format=TEMPLATE, or the header 'Accept: application/json' for all of it.",
        });
      return { body: renderTemplate(formats[0], await makeReport(services, facts)) };
    }),
    route("GET /metrics", async () => ({ type: METRICS_TYPE, body: await metrics.text() }), { scope: "metrics" }),
    route(`GET ${HEALTH_PATH}`, () => ALIVE, { scope: "metrics" }),
    // Before the router is ready, every path but that of health answers 503.
    route("GET /readyz", () => ({ body: "ready\n" }), { scope: "metrics" }),
    route("POST /reload", () => jsonAnswer({ logLevel: facts.reload() }), { scope: "socket" }),
    ...services.flatMap((service) => service.routes?.() ?? []),
  ];
}

/** The scopes of routes that a listener serves, by the listener's own scope. */
const SERVED: Readonly<Record<Scope, readonly Scope[]>> = {
  metrics: ["metrics"],
  status: ["metrics", "status"],
  control: ["metrics", "status", "control"],
  socket: ["metrics", "status", "control", "socket"],
  page: ["page"],
};

/** Calls of the status port that the page makes, of its own listener. */
const CALLS_OF_THE_PAGE = ["GET /events", "GET /events/stream"];

/** The routes that a listener of the given scope serves. */
export const routesFor = (scope: Scope, routes: readonly Route[]): Route[] =>
  routes.filter(
    (each) => SERVED[scope].includes(each.scope) || (scope === "page" && CALLS_OF_THE_PAGE.includes(each.call)),
  );
