/** Bytes after the first one of the types 0xc0 to 0xdf of MessagePack that are no containers and have no length (its specification, "Formats"). */
const FIXED: Readonly<Record<number, number>> = {
  192: 0,
  193: 0,
  194: 0,
  195: 0,
  202: 4,
  203: 8,
  204: 1,
  205: 2,
  206: 4,
  207: 8,
  208: 1,
  209: 2,
  210: 4,
  211: 8,
  212: 2,
  213: 3,
  214: 5,
  215: 9,
  216: 17,
};
/** Bytes of the length of the types that have one, and bytes of a header after it: binary, extensions, texts. */
const SIZED: Readonly<Record<number, readonly [number, number]>> = {
  196: [1, 0],
  197: [2, 0],
  198: [4, 0],
  199: [1, 1],
  200: [2, 1],
  201: [4, 1],
  217: [1, 0],
  218: [2, 0],
  219: [4, 0],
};
/** Bytes of the count of containers, and items for each of it: lists, maps. */
const CONTAINERS: Readonly<Record<number, readonly [number, number]>> = {
  220: [2, 1],
  221: [4, 1],
  222: [2, 2],
  223: [4, 2],
};

/**
 * Whether a MessagePack value has more items than `most`, itself and all items within counted, keys too; nothing is decoded. The
 * claimed counts of lists and maps suffice: a few bytes that claim millions of items have them. Bytes that are not MessagePack may give any answer.
 */
export function hasMoreItems(bytes: Uint8Array, most: number): boolean {
  let [items, at] = [1, 0];
  for (let read = 0; read < items && at < bytes.length; read++) {
    const type = bytes[at++];
    if (type >= 0x80 && type < 0xa0) items += type < 0x90 ? 2 * (type & 15) : type & 15;
    else if (type >= 0xa0 && type < 0xc0) at += type & 31;
    else if (type >= 0xc0 && type < 0xe0) {
      const container = CONTAINERS[type];
      const sized = SIZED[type];
      if (container !== undefined) {
        items += number(bytes, at, container[0]) * container[1];
        at += container[0];
      } else if (sized !== undefined) at += sized[0] + sized[1] + number(bytes, at, sized[0]);
      else at += FIXED[type];
    }
    if (items > most) return true;
  }
  return false;
}

/** A big-endian number; bytes that are missing count as 0. */
function number(bytes: Uint8Array, at: number, length: number): number {
  let value = 0;
  for (let i = 0; i < length; i++) value = value * 256 + (bytes[at + i] ?? 0);
  return value;
}
