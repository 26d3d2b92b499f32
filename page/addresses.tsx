import type { PageSpan, PageState } from "#router/page/page-state.js";
import { countOf, countText, percentText } from "./format.ts";
import { matches, type Select, type Selection, type Share, sharesOf } from "./model.ts";

/** Colours of owners; a further owner has one of them again. */
const COLOURS = 8;
const [CENTRE, OUTER, INNER] = [100, 92, 62];
/** Below this share an arc is not drawn by itself, but with its neighbours: it would be thinner than its border. */
const THINNEST = 0.002;
/** Rows of owners. */
const MAX_OWNERS = 12;

interface AddressesProps {
  readonly addresses: NonNullable<PageState["addresses"]>;
  readonly state: PageState;
  readonly select: Select;
  readonly selection: Selection | undefined;
  readonly wanted: string;
}

/** The range of addresses as a ring, with the owner of each part. */
export function Addresses({ addresses, state, select, selection, wanted }: AddressesProps) {
  const self = state.host.name;
  const shares = sharesOf(addresses);
  const others = shares.filter(({ owner }) => owner !== self);
  /** This host has a colour of its own. */
  const colours = new Map(others.map(({ owner }, index) => [owner, `slot-${index % COLOURS}`]));
  const colourOf = (owner: string) => colours.get(owner) ?? "slot-self";
  const held = addresses.holders.reduce((sum, holder) => sum + holder.addresses.length, 0);
  return (
    <section class="card addresses" aria-labelledby="addresses">
      <h2 id="addresses">
        Addresses <small>{addresses.range}</small>
      </h2>
      <div class="ring">
        <svg viewBox="0 0 200 200" aria-hidden="true">
          {shares.length === 0 && <circle class="none" cx={CENTRE} cy={CENTRE} r={(OUTER + INNER) / 2} />}
          {arcsOf(addresses).map(({ span, from, to }) => (
            // biome-ignore lint/a11y/noStaticElementInteractions: hidden from keyboards; the table of owners has a button for each
            <path
              key={span.start}
              class={`${colourOf(span.owner)}${span.reachable ? "" : " away"}${selection?.key === span.start ? " chosen" : ""}`}
              d={arc(from, to)}
              onClick={() => select({ kind: "span", key: span.start })}
            >
              <title>{`${span.start}: ${countText(span.size)} of ${span.nickname || span.owner}`}</title>
            </path>
          ))}
          <text x={CENTRE} y={CENTRE - 2} class="big">
            {countText(held)}
          </text>
          <text x={CENTRE} y={CENTRE + 16}>
            held here
          </text>
        </svg>
        {shares.length === 0 ? (
          <p class="empty">The range is divided among the peers when the first address is requested.</p>
        ) : (
          <Owners
            {...{ addresses, select, colourOf }}
            shares={shares.filter(({ owner, title }) => matches(wanted, owner, title))}
          />
        )}
      </div>
      <p class="hint">
        {addresses.status === "" ? "" : `Allocation: ${addresses.status}. `}
        {addresses.left.spans > 0 ? `${countOf(addresses.left.spans, "part")} of the ring more than shown. ` : ""}
      </p>
    </section>
  );
}

function Owners(props: {
  readonly shares: readonly Share[];
  readonly addresses: NonNullable<PageState["addresses"]>;
  readonly select: Select;
  readonly colourOf: (owner: string) => string;
}) {
  const { shares, addresses, select, colourOf } = props;
  const firstSpan = (owner: string) => addresses.spans.find((span) => span.owner === owner)!.start;
  const rest = shares.slice(MAX_OWNERS);
  return (
    <table>
      <thead>
        <tr>
          <th scope="col">Owner</th>
          <th scope="col">Addresses</th>
          <th scope="col">Share</th>
        </tr>
      </thead>
      <tbody>
        {shares.slice(0, MAX_OWNERS).map(({ owner, title, size, reachable }) => (
          <tr key={owner}>
            <th scope="row">
              <i class={`swatch ${colourOf(owner)}${reachable ? "" : " away"}`} aria-hidden="true" />
              <button type="button" class="link" onClick={() => select({ kind: "span", key: firstSpan(owner) })}>
                {title}
              </button>
              {reachable ? "" : " (unreachable)"}
            </th>
            <td class="number">{countText(size)}</td>
            <td class="number">{percentText((100 * size) / addresses.size)}</td>
          </tr>
        ))}
        {rest.length > 0 && (
          <tr>
            <th scope="row">{countOf(rest.length, "other owner")}</th>
            <td class="number">{countText(rest.reduce((sum, { size }) => sum + size, 0))}</td>
            <td class="number">
              {percentText((100 * rest.reduce((sum, { size }) => sum + size, 0)) / addresses.size)}
            </td>
          </tr>
        )}
      </tbody>
    </table>
  );
}

/** The arcs of the ring, as shares of the whole from its start. Thin ones widen the one before. */
function arcsOf({ spans, size }: NonNullable<PageState["addresses"]>) {
  const arcs: { span: PageSpan; from: number; to: number }[] = [];
  let at = 0;
  for (const span of spans) {
    const share = span.size / size;
    const last = arcs.at(-1);
    if (last !== undefined && share < THINNEST) last.to = at + share;
    else arcs.push({ span, from: at, to: at + share });
    at += share;
  }
  return arcs;
}

/** The path of an arc between two shares of the whole, clockwise from the top. */
function arc(from: number, to: number): string {
  // A full circle has no path of one arc: its ends would be one point.
  const end = Math.min(to, from + 0.9999);
  const large = end - from > 0.5 ? 1 : 0;
  const point = (share: number, radius: number) => {
    const angle = 2 * Math.PI * share;
    return `${(CENTRE + radius * Math.sin(angle)).toFixed(2)} ${(CENTRE - radius * Math.cos(angle)).toFixed(2)}`;
  };
  return `M${point(from, OUTER)}A${OUTER} ${OUTER} 0 ${large} 1 ${point(end, OUTER)}L${point(end, INNER)}A${INNER} ${INNER} 0 ${large} 0 ${point(from, INNER)}Z`;
}
