/** Exit status of a router that never came up: its supervisor does not try again, and `weave launch` tells why. */
export const EXIT_START = 78;
