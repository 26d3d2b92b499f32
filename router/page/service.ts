import { PageFeed } from "#router/page/feed.js";
import { type PageFile, PageFiles } from "#router/page/files.js";
import { type PageDeps, PageReader } from "#router/page/sources.js";
import { assemblePageState } from "#router/page/state-assembly.js";
import { type Route, route } from "#router/route.js";
import type { Service } from "#router/service.js";
import { type Answer, JSON_TYPE } from "#src/http/answer.js";
import { eventStreamAnswer } from "#src/http/server-sent-events.js";
import type { Log } from "#src/log.js";

const SCOPE = { scope: "page" } as const;
/** The names of assets change with their contents. */
const FOREVER = { "Cache-Control": "public, max-age=31536000, immutable" };
const FULL: Answer = {
  status: 503,
  headers: { "Retry-After": "10" },
  body: "too many pages are open at this router: close one, and load this page again\n",
};

/** The page that shows the network in a browser: its files, and the state that it shows. It changes nothing. */
export function pageService(deps: PageDeps & { readonly log: Log }): Service {
  const files = new PageFiles();
  const reader = new PageReader(deps);
  const feed = new PageFeed({
    clock: deps.clock,
    log: deps.log,
    read: async () => assemblePageState(await reader.read()),
    head: () => ({ run: deps.mesh.status().self.uid, build: files.build }),
  });
  return { name: "page", routes: () => pageRoutes(files, feed) };
}

/** The routes of the page's listener. */
export function pageRoutes(files: PageFiles, feed: PageFeed): readonly Route[] {
  return [
    route("GET /", () => fileAnswer(files.page), SCOPE),
    route(
      "GET /assets/:name",
      ({ params: { name } }) => {
        const file = files.asset(name);
        return file === undefined
          ? { status: 404, body: "404 page not found\n" }
          : { ...fileAnswer(file), headers: FOREVER };
      },
      SCOPE,
    ),
    route("GET /page/state", async () => ({ type: JSON_TYPE, body: `${await feed.document()}\n` }), SCOPE),
    route("GET /page/stream", () => (feed.isFull ? FULL : eventStreamAnswer((to) => feed.open(to))), SCOPE),
  ];
}

const fileAnswer = ({ type, text }: PageFile): Answer => ({ type, body: text });
