/**
 * An ident names the holder of addresses and names: the id of a container, or one of the constants below. It is short and
 * visible ASCII, because it is shown in columns and is a key on disk.
 */
const IDENT = /^[\x21-\x7e]{1,255}$/;

/** The ident of the host itself (`weave expose`); the same as in Weave Net. */
export const EXPOSED = "weave:expose";
/** The ident of names that belong to no container; the same as in Weave Net. */
export const EXTERN = "weave:extern";

/** Whether a text is a valid ident. */
export const isIdent = (text: string): boolean => IDENT.test(text);
