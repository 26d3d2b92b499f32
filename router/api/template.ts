import { WeaveError } from "#src/errors.js";

/**
 * A node of a parsed template. The supported subset of Go's text/template, for `weave report -f`: `{{.A.B}}`, `{{.}}`,
 * `{{len .X}}`, `{{json .X}}`, `{{range .X}}…{{end}}` and string literals.
 */
type Node =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "value"; readonly call: "show" | "len" | "json"; readonly path: readonly string[] }
  | { readonly kind: "range"; readonly path: readonly string[]; readonly body: readonly Node[] };

/** Maximum characters of the output: nested ranges could otherwise exhaust the memory. */
const MAX_OUTPUT = 16 << 20;

/** Applies a template to `data`. @throws WEAVE_TEMPLATE for a parse error (HTTP 400), WEAVE_API for an execution error (500) */
export function renderTemplate(source: string, data: unknown): string {
  const output: string[] = [];
  let length = 0;
  execute(parse(source), data, (text) => {
    length += text.length;
    if (length > MAX_OUTPUT) throw executionError(`the output exceeds ${MAX_OUTPUT} bytes`);
    output.push(text);
  });
  return output.join("");
}

function parse(source: string): Node[] {
  const stack: { path: readonly string[]; nodes: Node[] }[] = [{ path: [], nodes: [] }];
  const push = (node: Node) => stack[stack.length - 1].nodes.push(node);
  let at = 0;
  while (at < source.length) {
    const open = source.indexOf("{{", at);
    if (open < 0) {
      push({ kind: "text", text: source.slice(at) });
      break;
    }
    if (open > at) push({ kind: "text", text: source.slice(at, open) });
    const close = source.indexOf("}}", open);
    if (close < 0) throw parseError("unclosed action");
    const action = source.slice(open + 2, close).trim();
    at = close + 2;
    if (action === "end") {
      const done = stack.pop()!;
      if (stack.length === 0) throw parseError("unexpected {{end}}");
      push({ kind: "range", path: done.path, body: done.nodes });
    } else if (action.startsWith("range ")) stack.push({ path: parsePath(action.slice(6).trim()), nodes: [] });
    else push(parseAction(action));
  }
  if (stack.length > 1) throw parseError("unexpected EOF");
  return stack[0].nodes;
}

function parseAction(action: string): Node {
  if (action.startsWith('"')) {
    try {
      return { kind: "text", text: JSON.parse(action) as string };
    } catch {
      throw parseError(`bad string ${action}`);
    }
  }
  const call = /^(len|json)\s+(.+)$/.exec(action);
  if (call !== null) return { kind: "value", call: call[1] as "len" | "json", path: parsePath(call[2]) };
  return { kind: "value", call: "show", path: parsePath(action) };
}

function parsePath(text: string): string[] {
  if (text === ".") return [];
  if (!/^(\.[A-Za-z_]\w*)+$/.test(text)) {
    const word = /^[A-Za-z_]\w*/.exec(text)?.[0];
    throw parseError(word === undefined ? `unexpected "${text}" in command` : `function "${word}" not defined`);
  }
  return text.slice(1).split(".");
}

function execute(nodes: readonly Node[], data: unknown, put: (text: string) => void): void {
  for (const node of nodes) {
    if (node.kind === "text") put(node.text);
    else {
      const value = follow(data, node.path);
      if (node.kind === "range") {
        if (value === null || value === undefined) continue;
        if (typeof value !== "object") throw executionError(`${pathText(node.path)} is no list`);
        for (const item of Object.values(value)) execute(node.body, item, put);
      } else put(show(node, value));
    }
  }
}

function follow(data: unknown, path: readonly string[]): unknown {
  let value = data;
  for (const [depth, step] of path.entries()) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, step))
      throw executionError(`${pathText(path.slice(0, depth))} has no field ${step}`);
    value = (value as Record<string, unknown>)[step];
  }
  return value;
}

function show({ call, path }: Extract<Node, { kind: "value" }>, value: unknown): string {
  if (call === "json") return stringify(value);
  if (call === "len") {
    if (typeof value === "string") return String(Buffer.byteLength(value));
    if (value === null || value === undefined) return "0";
    if (typeof value === "object") return String(Object.keys(value).length);
    throw executionError(`${pathText(path)} has no length`);
  }
  if (value === null || value === undefined) return "<nil>";
  return typeof value === "object" ? stringify(value) : String(value);
}

/** JSON in which a BigInt is a plain number: Weave Net prints 64-bit identifiers so. */
export function stringify(value: unknown, indent?: number): string {
  const MARK = "\u0000bigint:";
  const text =
    JSON.stringify(value, (_key, item: unknown) => (typeof item === "bigint" ? `${MARK}${item}` : item), indent) ??
    "null";
  return text.replace(/"\\u0000bigint:(\d+)"/g, "$1");
}

/** JSON in which a BigInt is text: readers that keep numbers as doubles round one above 2^53. */
export const exactJson = (value: unknown, indent?: number): string =>
  JSON.stringify(value, (_key, item: unknown) => (typeof item === "bigint" ? String(item) : item), indent);

const parseError = (why: string) => new WeaveError("WEAVE_TEMPLATE", `template: format:1: ${why}`);
const executionError = (why: string) => new WeaveError("WEAVE_API", `error during template execution: ${why}`);
const pathText = (path: readonly string[]): string => (path.length === 0 ? "the report" : `.${path.join(".")}`);
