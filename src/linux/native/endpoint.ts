/** An IPv4 address and port as one number, address × 65536 + port: a key for maps and comparisons. */
export type Endpoint = number;

/** @param host dotted quad, already validated */
export function endpoint(host: string, port: number): Endpoint {
  const [a, b, c, d] = host.split(".").map(Number);
  return (((a << 24) | (b << 16) | (c << 8) | d) >>> 0) * 65536 + port;
}

export function endpointText(value: Endpoint): string {
  const address = Math.floor(value / 65536);
  return `${address >>> 24}.${(address >>> 16) & 255}.${(address >>> 8) & 255}.${address & 255}:${value % 65536}`;
}
