import { leaseText } from "#ipam/ring/subnet.js";
import type { Mesh } from "#mesh/mesh.js";
import type { MeshStatus } from "#mesh/options.js";
import { type PeerName, type PeerRecord, peerText } from "#mesh/peer.js";
import type { Ipam } from "#router/addresses/ipam.js";
import { type IpamReport, ipamReport } from "#router/addresses/report.js";
import type { ListedAttachment } from "#router/attachments/listing.js";
import type { Datapath } from "#router/datapath/datapath.js";
import type { DatapathReport } from "#router/datapath/protocol.js";
import type { DockerReports } from "#router/docker/report.js";
import { claimsBlocks, frameClaims } from "#router/frames/claims.js";
import type { Macs } from "#router/macs/macs.js";
import { macLines } from "#router/macs/report.js";
import { type DnsReport, dnsReport } from "#router/names/report.js";
import type { WeaveDns } from "#router/names/weave-dns.js";
import { type RouterReport, type RouterReportDeps, routerSummary } from "#router/peers/report.js";
import type { Clock } from "#src/clock.js";
import { errorText } from "#src/errors.js";
import type { Problems } from "#src/problems.js";

/** Interval between two lists of attachments: each reads /proc of all processes. */
const ATTACHMENTS_MS = 10_000;

/** The parts of a router that the page shows; undefined: the feature is off. */
export interface PageDeps extends RouterReportDeps {
  readonly datapath: Datapath;
  readonly macs: Pick<Macs, "report">;
  readonly ipam: Ipam | undefined;
  readonly dns: WeaveDns | undefined;
  readonly docker: (() => DockerReports) | undefined;
  readonly problems: Problems;
  readonly clock: Clock;
  /** Lists the interfaces of this host on the bridge. */
  readonly attachments: () => Promise<readonly ListedAttachment[]>;
}

/** The state of all parts at one time, as plain data. */
export interface PageSources {
  /** Milliseconds on the monotonic clock. */
  readonly at: number;
  readonly problems: readonly string[];
  readonly status: Pick<MeshStatus, "self" | "peers" | "connections">;
  readonly suspended: readonly Pick<PeerRecord, "name" | "nickname">[];
  /** The next hop of frames to a peer. */
  readonly nextHop: (peer: PeerName) => PeerName | undefined;
  readonly router: RouterReport;
  readonly frames: DatapathReport | undefined;
  readonly addresses:
    | { readonly report: IpamReport; readonly holders: Iterable<{ ident: string; addresses: readonly string[] }> }
    | undefined;
  readonly names: DnsReport | undefined;
  readonly docker: DockerReports | undefined;
  readonly attachments: readonly ListedAttachment[];
  /** Lines of `weave status` that exist only when something is wrong. */
  readonly statusLines: readonly string[];
}

/** Reads the state of a running router. */
export class PageReader {
  readonly #deps: PageDeps;
  #attachments: readonly ListedAttachment[] = [];
  #listed = Number.NEGATIVE_INFINITY;
  #attachmentProblem: string | undefined;

  constructor(deps: PageDeps) {
    this.#deps = deps;
  }

  async read(): Promise<PageSources> {
    const { mesh, datapath, clock, problems, ipam, dns, docker } = this.#deps;
    const [frames] = await Promise.all([datapath.report(), this.#list()]);
    const status = mesh.status();
    const { frameRoutes } = mesh;
    const missing = this.#attachmentProblem;
    return {
      at: clock.now(),
      problems: [...problems.list(), ...(missing === undefined ? [] : [missing])],
      status,
      suspended: status.suspended,
      nextHop: (peer) => frameRoutes.unicast(peer),
      router: routerSummary(this.#deps),
      frames,
      addresses: ipam && { report: ipamReport(ipam, clock.now()), holders: holdersOf(ipam) },
      names: dns && dnsReport(dns),
      docker: docker?.(),
      attachments: this.#attachments,
      statusLines: this.#statusLines(mesh, frames),
    };
  }

  #statusLines(mesh: Mesh, frames: DatapathReport | undefined): string[] {
    const nicknameOf = (peer: PeerName) => mesh.peer(peer)?.nickname ?? "";
    const nameOf = (peer: PeerName) => peerText({ name: peer, nickname: nicknameOf(peer) });
    const claims = frames === undefined ? [] : claimsBlocks(frameClaims(frames, nicknameOf));
    // The first line of a paragraph is its name.
    const lines = claims.flatMap((block) => block.split("\n").slice(1, -1));
    return [...macLines(this.#deps.macs.report, nameOf), ...lines];
  }

  async #list(): Promise<void> {
    const { clock, attachments } = this.#deps;
    if (clock.now() - this.#listed < ATTACHMENTS_MS) return;
    this.#listed = clock.now();
    try {
      this.#attachments = await attachments();
      this.#attachmentProblem = undefined;
    } catch (error) {
      this.#attachmentProblem = `the containers of this host cannot be listed: ${errorText(error)}`;
    }
  }
}

function* holdersOf({ allocator }: Ipam): Generator<{ ident: string; addresses: readonly string[] }> {
  for (const { ident, leases } of allocator.leases.all()) yield { ident, addresses: leases.map(leaseText) };
}
