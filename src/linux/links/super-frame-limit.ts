/**
 * Setting of a container's interface (ip-link(8)): bytes of the largest super-frame that its kernel makes. With the headers that
 * records and datagrams add, one of 64 KB exceeds what one UDP send takes (65,507 bytes); this one does not, for MTUs from 1,200 bytes
 * on.
 */
export const SUPER_FRAME_LIMIT = "gso_max_size 64000";
