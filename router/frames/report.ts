import type { PeerName } from "#mesh/peer.js";
import type { Datapath } from "#router/datapath/datapath.js";
import { cipherText, offloadNames } from "#router/datapath/offloads.js";
import { type FrameClaims, frameClaims, NO_CLAIMS } from "#router/frames/claims.js";
import { macFromNumber } from "#src/mac.js";

/** The frame path's fields in the section `Router` of the report. */
export interface FrameReport {
  readonly Datapath: {
    readonly Threads: number;
    readonly Offloads: readonly string[];
    /** Offloads that the kernel, the processor or an option excludes: the router does their work in software. */
    readonly OffloadsOff: readonly string[];
    readonly Cipher: string;
  };
  readonly CaptureStats: Readonly<Record<string, number>>;
  readonly Drops: Readonly<Record<string, number>>;
  readonly MACs: readonly { Mac: string; Name: string; NickName: string; LastSeen: string }[];
  readonly FrameClaims: FrameClaims;
}

/** The settings of a running frame path, without a request to its threads. */
export function datapathSettings({ threads, offloads }: Datapath): FrameReport["Datapath"] {
  const { on, off } = offloadNames(offloads);
  return { Threads: threads, Offloads: on, OffloadsOff: off, Cipher: cipherText(offloads) };
}

/** Requests the counters and MAC tables of the threads; empty when they do not answer. */
export async function frameReport(datapath: Datapath, nicknameOf: (peer: PeerName) => string): Promise<FrameReport> {
  const report = await datapath.report();
  const now = Date.now();
  return {
    Datapath: datapathSettings(datapath),
    CaptureStats: { ...report?.counters },
    Drops: { ...report?.drops },
    MACs: (report?.macs ?? []).map(({ mac, peer, idleMs }) => {
      const Name = macFromNumber(peer);
      return {
        Mac: macFromNumber(mac),
        Name,
        NickName: nicknameOf(Name),
        LastSeen: new Date(now - idleMs).toISOString(),
      };
    }),
    FrameClaims: report === undefined ? NO_CLAIMS : frameClaims(report, nicknameOf),
  };
}
