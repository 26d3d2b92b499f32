export interface MapPlace {
  readonly x: number;
  readonly y: number;
  /** The label is above the peer, away from the links. */
  readonly above: boolean;
}

/** Where the peers are on the map: always at the same place for the same list, so that the map does not move when a figure changes. */
export interface MapLayout {
  readonly width: number;
  readonly height: number;
  /** By index: the centre of each peer. */
  readonly places: readonly MapPlace[];
  /** Radius of a peer, and of this host. */
  readonly radius: number;
  readonly selfRadius: number;
  readonly fontSize: number;
  /** Maximum characters of a label; 0: there is no room for labels. */
  readonly labelChars: number;
}

const WIDTH = 1_000;
const HEIGHT = 560;
const ROWS_HEIGHT = 640;
/** Up to this number of peers stand on an ellipse around this host. */
const MAX_ELLIPSE = 24;
/** Width of a character, as a share of the font's size. */
const CHAR = 0.63;

/**
 * Few peers stand around this host, many in rows by their name, with this host in the middle: a name is found as in a list.
 *
 * @param titles of all peers, this host first
 */
export function mapLayout(titles: readonly string[]): MapLayout {
  return titles.length <= MAX_ELLIPSE ? ellipse(titles.length) : rows(titles);
}

function ellipse(count: number): MapLayout {
  const centre = { x: WIDTH / 2, y: HEIGHT / 2, above: false };
  const others = Array.from({ length: count - 1 }, (_, index) => {
    // One other peer stands beside this host, several start at the top.
    const angle = (count === 2 ? 0 : -Math.PI / 2) + (2 * Math.PI * index) / (count - 1);
    const [x, y] = [centre.x + 420 * Math.cos(angle), centre.y + 215 * Math.sin(angle)];
    return { x, y, above: y < centre.y - 1 };
  });
  return {
    width: WIDTH,
    height: HEIGHT,
    places: [centre, ...others],
    radius: count > 12 ? 12 : 15,
    selfRadius: 22,
    fontSize: count > 12 ? 13 : 15,
    labelChars: count > 12 ? 14 : 20,
  };
}

function rows(titles: readonly string[]): MapLayout {
  const count = titles.length;
  const columns = Math.max(6, Math.round(Math.sqrt((count * WIDTH) / ROWS_HEIGHT / 1.75)));
  // One cell more: this host has the one in the middle.
  const lines = Math.ceil(count / columns);
  const cell = { width: WIDTH / (columns + 0.5), height: Math.max(22, ROWS_HEIGHT / lines) };
  const middle = { line: Math.floor(lines / 2), column: Math.floor(columns / 2) };
  const places = new Array<MapPlace>(count);
  const order = titles.map((_, index) => index).slice(1);
  order.sort((a, b) => titles[a].localeCompare(titles[b], "en", { numeric: true }));
  let cellNumber = 0;
  const place = (line: number, column: number) => ({
    x: cell.width * (column + (line % 2 === 0 ? 0.5 : 1)),
    y: cell.height * (line + 0.38),
    above: false,
  });
  places[0] = place(middle.line, middle.column);
  for (const index of order) {
    if (cellNumber === middle.line * columns + middle.column) cellNumber++;
    places[index] = place(Math.floor(cellNumber / columns), cellNumber % columns);
    cellNumber++;
  }
  const fontSize = Math.min(12, Math.max(8.5, cell.height / 3.2));
  const labelChars = Math.floor((cell.width - 4) / (fontSize * CHAR));
  return {
    width: WIDTH,
    height: cell.height * lines + 8,
    places,
    radius: Math.min(9, cell.height / 5),
    selfRadius: Math.min(12, cell.height / 3.4),
    fontSize,
    labelChars: labelChars < 5 ? 0 : labelChars,
  };
}
