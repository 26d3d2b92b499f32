import type { PageState } from "#router/page/page-state.js";
import type { Live } from "./feed.ts";
import { countOf, rateText } from "./format.ts";

const CONTACTS: Readonly<Record<Live["contact"], string>> = {
  connecting: "connecting",
  live: "live",
  lost: "no answer",
  refused: "every 5 s",
};

const ENCRYPTION = { on: "encrypted", "without password": "encrypted, peers not authenticated", off: "not encrypted" };

/** The host, the size of the network, and the search. */
export function Header(props: {
  readonly live: Live;
  readonly state: PageState;
  readonly typed: string;
  readonly onType: (text: string) => void;
}) {
  const { live, state, typed, onType } = props;
  const { host, mesh } = state;
  const reachable = mesh.peers.filter((peer) => peer.reachable).length;
  const total = live.rates.get("");
  return (
    <header>
      <div class="title">
        <Mark />
        <div>
          <h1>{host.nickname}</h1>
          <p>
            <code>{host.name}</code> · Weave {host.version}
          </p>
        </div>
      </div>
      <ul class="facts">
        <li>
          <b>{countOf(reachable, "peer")}</b>
          {reachable < mesh.peers.length ? ` of ${mesh.peers.length}` : ""}
        </li>
        <li>
          <b>{countOf(mesh.links.length, "link")}</b>
        </li>
        <li class={host.encryption === "on" ? "" : "caution"}>{ENCRYPTION[host.encryption]}</li>
        {total !== undefined && (
          <li class="rates">
            <span title="sent by this host">↑ {rateText(total.sent.at(-1) ?? 0)}</span>{" "}
            <span title="received by this host">↓ {rateText(total.received.at(-1) ?? 0)}</span>
          </li>
        )}
      </ul>
      <search class="tools">
        <label for="search">Find</label>
        <input
          id="search"
          type="search"
          value={typed}
          maxLength={100}
          placeholder="peer, name or address"
          onInput={({ currentTarget }) => onType(currentTarget.value)}
        />
        <span class={`contact ${live.contact}`}>{CONTACTS[live.contact]}</span>
      </search>
    </header>
  );
}

const Mark = () => (
  <svg class="mark" viewBox="0 0 32 32" aria-hidden="true">
    <rect width="32" height="32" rx="7" />
    <path d="M6 11c5 0 5 10 10 10s5-10 10-10" />
    <path d="M6 21c5 0 5-10 10-10s5 10 10 10" />
  </svg>
);
