import { useMemo } from "preact/hooks";
import type { PageState } from "#router/page/page-state.js";
import { countOf, millisecondsText, shortText } from "./format.ts";
import { type MapLayout, mapLayout } from "./map-layout.ts";
import { matches, type PeerStatus, type PeerView, type Select, type Selection, STATUS_TEXTS } from "./model.ts";

/** Up to this number all links are drawn; beyond it those of this host and of the chosen peer. */
const MAX_DRAWN_LINKS = 900;
/** Up to this number of peers the links of this host have their round trips. */
export const MAX_LABELLED = 14;

interface MapProps {
  readonly state: PageState;
  readonly peers: readonly PeerView[];
  readonly neighbours: ReadonlyMap<number, readonly number[]>;
  readonly selection: Selection | undefined;
  readonly select: Select;
  readonly wanted: string;
}

/**
 * All peers and links as a picture. The table of peers below has the same for keyboards and screen readers, so the picture is hidden
 * from them.
 */
export function NetworkMap(props: MapProps) {
  const { state, peers } = props;
  const titles = peers.map(({ title }) => title).join("\n");
  const layout = useMemo(() => mapLayout(peers.map(({ title }) => title)), [titles]);
  const { left, links } = state.mesh;
  const drawsAll = links.length <= MAX_DRAWN_LINKS;
  const statuses = new Set(peers.map(({ status }) => status));
  return (
    <section class="card map" aria-labelledby="map">
      <h2 id="map">Network</h2>
      <svg viewBox={`0 0 ${layout.width} ${layout.height}`} aria-hidden="true">
        <Links {...props} layout={layout} all={drawsAll} />
        <Nodes {...props} layout={layout} />
      </svg>
      <ul class="legend">
        {(Object.keys(STATUS_TEXTS) as PeerStatus[])
          .filter((status) => statuses.has(status))
          .map((status) => (
            <li key={status} class={`is-${status}`}>
              <i aria-hidden="true" />
              {STATUS_TEXTS[status]}
            </li>
          ))}
        {!drawsAll && <li class="plain">Choose a peer to see its links, of {countOf(links.length, "link")} in all.</li>}
        {left.peers + left.links > 0 && (
          <li class="plain">
            Not shown: {countOf(left.peers, "peer")}, {countOf(left.links, "link")}. 'weave status peers' has all.
          </li>
        )}
      </ul>
    </section>
  );
}

interface DrawnProps extends MapProps {
  readonly layout: MapLayout;
}

function Links({ state, peers, layout, selection, all }: DrawnProps & { readonly all: boolean }) {
  const chosen = selection?.kind === "peer" ? peers.find(({ name }) => name === selection.key)?.index : undefined;
  const { links } = state.mesh;
  const { places } = layout;
  // Those of this host, and then of the chosen peer, are drawn last, above the others.
  const own = links.filter(([a]) => a === 0);
  const others = links.filter(([a, b]) => a !== 0 && (all || a === chosen || b === chosen));
  const ofChosen = others.filter(([a, b]) => a === chosen || b === chosen);
  const line = ([a, b, passes]: PageState["mesh"]["links"][number], kind: string) => {
    const [from, to] = [places[a], places[b]];
    return (
      <line key={`${a} ${b}`} class={`${kind}${passes ? "" : " dead"}`} x1={from.x} y1={from.y} x2={to.x} y2={to.y} />
    );
  };
  return (
    <g class={`links${peers.length > 60 ? " many" : ""}`}>
      {others.filter((link) => !ofChosen.includes(link)).map((link) => line(link, "other"))}
      {own.map((link) => line(link, `own is-${peers[link[1]].status}`))}
      {ofChosen.map((link) => line(link, "chosen"))}
      {peers.length <= MAX_LABELLED &&
        own.map(([, index]) => <LinkLabel key={index} peer={peers[index]} layout={layout} />)}
    </g>
  );
}

function LinkLabel({ peer, layout }: { readonly peer: PeerView; readonly layout: MapLayout }) {
  const [from, to] = [layout.places[0], layout.places[peer.index]];
  const roundTrip = peer.figures?.[0];
  if (roundTrip === undefined || roundTrip === null) return null;
  return (
    <text class="roundtrip" x={from.x + (to.x - from.x) * 0.55} y={from.y + (to.y - from.y) * 0.55 - 5}>
      {millisecondsText(roundTrip)}
    </text>
  );
}

function Nodes({ peers, layout, selection, select, wanted, neighbours }: DrawnProps) {
  const chosen = selection?.kind === "peer" ? peers.find(({ name }) => name === selection.key) : undefined;
  const linked = new Set(chosen === undefined ? [] : (neighbours.get(chosen.index) ?? []));
  return (
    <g class="nodes">
      {peers.map((peer) => {
        const { index, name, nickname, title, status } = peer;
        const { x, y, above } = layout.places[index];
        const radius = index === 0 ? layout.selfRadius : layout.radius;
        const classes = [
          `is-${status}`,
          peer === chosen ? "chosen" : "",
          linked.has(index) ? "linked" : "",
          matches(wanted, name, nickname) ? (wanted === "" ? "" : "found") : "unfound",
        ];
        return (
          // biome-ignore lint/a11y/noStaticElementInteractions: hidden from keyboards; the table of peers has a button for each
          <g key={name} class={classes.join(" ")} onClick={() => select({ kind: "peer", key: name })}>
            <title>{`${title} (${name}): ${STATUS_TEXTS[status]}`}</title>
            <circle class="target" cx={x} cy={y} r={radius + 5} />
            <circle class="dot" cx={x} cy={y} r={radius} />
            {layout.labelChars > 0 && (
              <text x={x} y={above ? y - radius - 7 : y + radius + layout.fontSize * 1.15} font-size={layout.fontSize}>
                {shortText(title, layout.labelChars)}
              </text>
            )}
          </g>
        );
      })}
    </g>
  );
}
