import type { IncomingHttpHeaders } from "node:http";
import type { Answer } from "#router/route.js";

/**
 * What browsers may do with answers of the page's listener. No script, style or text of another origin runs or is sent anywhere, and no
 * text of a peer can become markup (Content Security Policy Level 3, Trusted Types).
 */
export const PAGE_HEADERS: Readonly<Record<string, string>> = {
  "Content-Security-Policy": [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join("; "),
  "X-Content-Type-Options": "nosniff",
  "X-Frame-Options": "DENY",
  "Referrer-Policy": "no-referrer",
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Resource-Policy": "same-origin",
  "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
  "Cache-Control": "no-store",
};

/**
 * Refuses what the pages of other sites request (Fetch Metadata Request Headers, W3C). A link to the page may be followed from anywhere.
 * Programs send none of these headers.
 *
 * @returns undefined: the request may be answered
 */
export function refuseOtherSites(headers: IncomingHttpHeaders): Answer | undefined {
  const site = headers["sec-fetch-site"];
  if (site === undefined || site === "same-origin" || site === "none") return undefined;
  if (headers["sec-fetch-mode"] === "navigate" && headers["sec-fetch-dest"] === "document") return undefined;
  return { status: 403, body: "requests from pages of other sites are refused\n" };
}
