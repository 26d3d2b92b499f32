/**
 * Under which addresses and names are held: the id of a container, or one of these. Short, and visible ASCII, as it is
 * shown in columns and used as a key on disk.
 */
const IDENT = /^[\x21-\x7e]{1,255}$/;

/** What the host itself holds (`weave expose`). As the original. */
export const EXPOSED = "weave:expose";
/** What names of no container are filed under. As the original. */
export const EXTERN = "weave:extern";

export const isIdent = (text: string): boolean => IDENT.test(text);
