import { arch, release, type } from "node:os";
import { pipeline } from "node:stream";
import { type CaptureLimits, type CaptureOptions, FrameCapture } from "#router/capture/capture.js";
import { CAPTURE_RANGES, TITLE_HEADER } from "#router/capture/capture-call.js";
import { type CaptureTargetDeps, findCaptureTarget } from "#router/capture/capture-targets.js";
import { type FilterExpression, parseFilter } from "#router/capture/filter-expression.js";
import { filterProgram } from "#router/capture/filter-program.js";
import { NO_CONTENT, type Route, route } from "#router/route.js";
import { type Service, statusLine } from "#router/service.js";
import { errorText, WeaveError } from "#src/errors.js";
import type { Answer } from "#src/http/answer.js";
import { HEARTBEAT_ETHERTYPE } from "#src/linux/vxlan/heartbeat-socket.js";
import type { Log } from "#src/log.js";
import { VERSION } from "#src/version.js";

/** Captures at the same time: each has rings of 4 MB in the kernel, one for each of up to three interfaces. */
export const MAX_CAPTURES = 4;
/** Media type of the answer (draft-ietf-opsawg-pcapng, section 9.2). */
const PCAPNG_TYPE = "application/x-pcapng";

export interface CaptureServiceDeps extends CaptureTargetDeps {
  readonly log: Log;
}

/**
 * Captures frames of the overlay in clear. Only root of this host can: the call is served at the Unix socket alone. So it works the same
 * where the router is in a container or a plugin, and the command needs no right of its own.
 */
export function captureService(deps: CaptureServiceDeps): Service {
  const captures = new Captures(deps);
  return {
    name: "capture",
    routes: () => captures.routes(),
    statusBlocks: () => captures.statusBlocks(),
  };
}

interface RunningCapture {
  /** By which its client ends it; "": by disconnecting alone. */
  readonly key: string;
  title: string;
  capture: FrameCapture | undefined;
}

class Captures {
  readonly #deps: CaptureServiceDeps;
  /** Those that go on; a place is taken before the target is found. */
  readonly #running = new Set<RunningCapture>();

  constructor(deps: CaptureServiceDeps) {
    this.#deps = deps;
  }

  routes(): Route[] {
    const scope = "socket";
    return [
      route("POST /capture/:target", ({ params, form, signal }) => this.#start(params.target, form, signal), { scope }),
      route("DELETE /capture/:key", ({ params }) => this.#stop(params.key), { scope }),
    ];
  }

  statusBlocks(): readonly string[] {
    if (this.#running.size === 0) return [];
    const lines = [...this.#running].map(({ title }) => statusLine("Capturing", title));
    return [statusLine("Service", "capture") + lines.join("")];
  }

  async #start(target: string, form: URLSearchParams, signal: AbortSignal): Promise<Answer> {
    const filter = form.get("filter") ?? "";
    const expression = parseFilter(filter);
    const limits = limitsOf(form);
    if (this.#running.size >= MAX_CAPTURES)
      throw new WeaveError("WEAVE_CAPTURE", `${MAX_CAPTURES} captures run already, which is the maximum`, {
        next: "'weave status' lists them; each ends with its command.",
      });
    const place: RunningCapture = { key: form.get("key") ?? "", title: "", capture: undefined };
    this.#running.add(place);
    try {
      const plan = await findCaptureTarget(target, this.#deps);
      signal.throwIfAborted();
      place.title = plan.title;
      const program = filterProgram(
        plan.withoutHeartbeats ? withoutHeartbeats(expression) : expression,
        limits.snapLength,
      );
      const capture = this.#run(place, { plan, limits, filter, program, section: SECTION });
      // Also before the answer begins.
      signal.addEventListener("abort", () => capture.destroy(), { once: true });
      return {
        type: PCAPNG_TYPE,
        headers: { [TITLE_HEADER]: encodeURIComponent(plan.title) },
        // An error ends the connection before the end of the answer, which its client notices.
        stream: (to) => void pipeline(capture, to, () => {}),
      };
    } catch (error) {
      this.#running.delete(place);
      throw error;
    }
  }

  #stop(key: string): Answer {
    const found = [...this.#running].find((each) => each.key === key && each.capture !== undefined);
    if (found === undefined) throw new WeaveError("WEAVE_CAPTURE", "no such capture goes on");
    found.capture!.stop("stopped");
    return NO_CONTENT;
  }

  #run(place: RunningCapture, options: CaptureOptions): FrameCapture {
    const { log } = this.#deps;
    const { filter, plan } = options;
    const capture = new FrameCapture(options);
    place.capture = capture;
    log.info("a capture begins", { target: plan.title, filter });
    capture.on("error", (error) => log.warn("a capture has failed", { target: plan.title, why: errorText(error) }));
    capture.on("close", () => {
      this.#running.delete(place);
      const why = capture.reason ?? "its reader has left";
      log.info("a capture has ended", { target: plan.title, ...capture.counts, why });
    });
    return capture;
  }
}

const SECTION = { hardware: arch(), os: `${type()} ${release()}`, application: `weave ${VERSION}` };

/** Frames by which routers prove the kernel's path are none of a container. */
function withoutHeartbeats(expression: FilterExpression | undefined): FilterExpression {
  const others: FilterExpression = { kind: "not", of: { kind: "ethertype", ethertype: HEARTBEAT_ETHERTYPE } };
  return expression === undefined ? others : { kind: "and", left: others, right: expression };
}

/** @throws WEAVE_CAPTURE */
function limitsOf(form: URLSearchParams): CaptureLimits {
  const read = (name: keyof typeof CAPTURE_RANGES): number => {
    const { min, max, usual } = CAPTURE_RANGES[name];
    const text = form.get(name);
    if (text === null) return usual;
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
    if (value >= min && value <= max) return value;
    throw new WeaveError("WEAVE_CAPTURE", `${name} must be a number from ${min} to ${max}`);
  };
  return { frames: read("count"), seconds: read("seconds"), bytes: read("size"), snapLength: read("snaplen") };
}
