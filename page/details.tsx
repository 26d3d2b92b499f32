import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import type { PageState } from "#router/page/page-state.js";
import type { Rates } from "./feed.ts";
import { bytesText, countOf, countText, millisecondsText, percentText } from "./format.ts";
import { type PeerView, type Select, type Selection, STATUS_MEANINGS, sharesOf } from "./model.ts";
import { ContainerDetails, Fact, Gone, NameDetails, SpanDetails } from "./object-details.tsx";
import { Sparkline } from "./sparkline.tsx";

interface DetailsProps {
  readonly state: PageState;
  readonly peers: readonly PeerView[];
  readonly neighbours: ReadonlyMap<number, readonly number[]>;
  readonly selection: Selection | undefined;
  readonly select: Select;
  readonly rates: ReadonlyMap<string, Rates>;
}

/** Explains what the user has chosen; this host while nothing is. */
export function Details(props: DetailsProps) {
  const { selection, select, peers } = props;
  const box = useRef<HTMLElement>(null);
  const opener = useRef<Element | null>(null);
  useEffect(() => {
    if (selection === undefined) return;
    opener.current = document.activeElement;
    box.current?.querySelector("h2")?.focus({ preventScroll: false });
  }, [selection]);
  const close = () => {
    select(undefined);
    if (opener.current instanceof HTMLElement) opener.current.focus();
  };
  return (
    <aside
      ref={box}
      class="card details"
      aria-label="Details"
      onKeyDown={({ key }) => key === "Escape" && selection !== undefined && close()}
    >
      {selection !== undefined && (
        <button type="button" class="close" onClick={close}>
          <span aria-hidden="true">✕</span>
          <span class="hidden">Close the details</span>
        </button>
      )}
      {content(props, selection?.kind === "peer" ? peers.find(({ name }) => name === selection.key) : undefined)}
    </aside>
  );
}

function content(props: DetailsProps, peer: PeerView | undefined): ComponentChildren {
  const { selection, peers } = props;
  switch (selection?.kind) {
    case "span":
      return <SpanDetails {...props} start={selection.key} />;
    case "name":
      return <NameDetails {...props} found={selection.key} />;
    case "container":
      return <ContainerDetails {...props} id={selection.key} />;
    case "peer":
      return peer === undefined ? <Gone /> : <PeerDetails {...props} peer={peer} />;
    default:
      return <PeerDetails {...props} peer={peers[0]} />;
  }
}

function PeerDetails(props: DetailsProps & { readonly peer: PeerView }) {
  const { state, peer, peers, rates } = props;
  const { connection, status } = peer;
  const relay = peers.find(({ name }) => name === peer.relay);
  const throughput = rates.get(status === "self" ? "" : peer.name);
  return (
    <>
      <h2 tabIndex={-1}>{peer.title}</h2>
      <p class="sub">
        <span class={`badge is-${status}`}>{status === "self" ? "this host" : status}</span> <code>{peer.name}</code>
      </p>
      <p>{STATUS_MEANINGS[status]}</p>
      {relay !== undefined && <p>The way begins at {relay.title}.</p>}
      {connection !== undefined && connection.reason !== "" && <p class="reason">{connection.reason}.</p>}
      {throughput !== undefined && throughput.sent.length > 1 && <Sparkline rates={throughput} />}
      <dl>{status === "self" ? <HostFacts state={state} /> : <LinkFacts peer={peer} />}</dl>
      <Possessions {...props} />
      <Neighbours {...props} />
    </>
  );
}

function HostFacts({ state: { host, figures } }: { readonly state: PageState }) {
  const { totals } = figures;
  return (
    <>
      <Fact name="Cipher">{host.encryption === "off" ? "none" : host.cipher}</Fact>
      <Fact name="Fingerprint">
        <code>{host.fingerprint}</code>
      </Fact>
      <Fact name="Targets">{host.targets.join(", ") || "none"}</Fact>
      {totals !== null && (
        <>
          <Fact name="Sent, received">
            {bytesText(totals.sent)}, {bytesText(totals.received)}
          </Fact>
          <Fact name="Dropped">{countText(totals.dropped)} frames, records and datagrams</Fact>
        </>
      )}
    </>
  );
}

function LinkFacts({ peer: { connection, figures, status } }: { readonly peer: PeerView }) {
  if (connection === undefined) return null;
  const [roundTrip, loss, sent, received] = figures ?? [null, null, 0, 0];
  return (
    <>
      <Fact name="Connection">
        {connection.outbound ? "dialled" : "accepted"} by this host, <code>{connection.address}</code>
      </Fact>
      <Fact name="Encryption">{connection.encrypted ? "yes" : "none (trusted subnet)"}</Fact>
      <Fact name="Round trip">
        {roundTrip === null ? "not measured yet" : `${millisecondsText(roundTrip)}, the shortest of five minutes`}
      </Fact>
      <Fact name="Loss">
        {loss === null ? "not measured by this carrier" : `${percentText(loss)} of what this host sent`}
      </Fact>
      <Fact name="Sent, received">
        {bytesText(sent)}, {bytesText(received)}
        {status === "fastdp" ? " by the router; frames in the kernel are not counted by peer" : ""}
      </Fact>
      {connection.mtu > 0 && <Fact name="Largest packet">{countText(connection.mtu)} bytes</Fact>}
    </>
  );
}

/** Addresses and names of a peer. */
function Possessions({ state, peer }: DetailsProps & { readonly peer: PeerView }) {
  const { addresses, names } = state;
  const share = addresses === null ? undefined : sharesOf(addresses).find(({ owner }) => owner === peer.name);
  const own = names?.list.filter(({ peer: origin }) => origin === peer.name) ?? [];
  const shown = own.slice(0, 6).map(({ name, address }) => `${name} ${address}`);
  return (
    <dl>
      {addresses !== null && (
        <Fact name="Addresses">
          {share === undefined
            ? "owns none"
            : `${countText(share.size)}, ${percentText((100 * share.size) / addresses.size)} of ${addresses.range}`}
        </Fact>
      )}
      {names !== null && (
        <Fact name="Names">
          {own.length === 0 ? "none" : shown.join(", ")}
          {own.length > shown.length ? ` and ${countText(own.length - shown.length)} more` : ""}
        </Fact>
      )}
    </dl>
  );
}

const MAX_CHIPS = 24;

function Neighbours({ peer, peers, neighbours, select }: DetailsProps & { readonly peer: PeerView }) {
  const links = neighbours.get(peer.index) ?? [];
  if (links.length === 0) return null;
  return (
    <>
      <h3>{countOf(links.length, "link")}</h3>
      <ul class="chips">
        {links.slice(0, MAX_CHIPS).map((index) => (
          <li key={index}>
            <button type="button" onClick={() => select({ kind: "peer", key: peers[index].name })}>
              {peers[index].title}
            </button>
          </li>
        ))}
        {links.length > MAX_CHIPS && <li>and {countText(links.length - MAX_CHIPS)} more</li>}
      </ul>
      {peer.index > 0 && <p class="hint">Which carrier a link between two other hosts has, only these two know.</p>}
    </>
  );
}
