// The value that a form holds: what it starts with, and one place in it changed. Plain JSON.

import { fieldOf, fieldsOf, resolve, type Schema } from "./schema";

export type Path = (string | number)[];

/** What a form for this schema starts with: defaults, and nothing that nobody has given. */
export function initial(given: Schema, root: Schema = given): unknown {
  const { schema, kind, isNullable } = fieldOf("", given, root, true);
  // What is null by default need not be sent.
  if (schema.default != null) return structuredClone(schema.default);
  if (isNullable) return undefined;
  if (kind === "object") return initialObject(schema, root);
  if (kind === "choice") return "const" in schema ? schema.const : schema.enum?.[0];
  if (kind === "list") return initialList(schema, root);
  if (kind === "boolean") return false;
  return undefined;
}

function initialObject(schema: Schema, root: Schema): Record<string, unknown> {
  const entries = fieldsOf(schema, root).map(({ name, isRequired, isNullable }) => {
    const property = schema.properties?.[name] ?? {};
    const hasDefault = resolve(property, root).default != null;
    const value = isRequired || hasDefault ? initial(property, root) : undefined;
    return [name, value === undefined && isRequired && isNullable ? null : value];
  });
  return Object.fromEntries(entries.filter(([, value]) => value !== undefined));
}

/** As many elements as there must be. Numbers start at the middle of their range, or at 0. */
function initialList(schema: Schema, root: Schema): unknown[] {
  const items = schema.items ?? {};
  const { kind } = fieldOf("", items, root, true);
  const element = () => initial(items, root) ?? (kind === "number" ? nearestToZero(items) : null);
  return Array.from({ length: Math.min(schema.minItems ?? 0, 1000) }, element);
}

function nearestToZero({ minimum = -Infinity, maximum = Infinity }: Schema): number {
  return Math.min(Math.max(0, minimum), maximum);
}

/** The value with one place in it changed; undefined takes the place away. */
export function changed(value: unknown, path: Path, to: unknown): unknown {
  const [step, ...rest] = path;
  if (step === undefined) return to;
  if (typeof step === "number") {
    const list = Array.isArray(value) ? [...value] : [];
    // A list has no gaps.
    list[step] = changed(list[step], rest, to) ?? null;
    return list;
  }
  const { [step]: old, ...others } = (value ?? {}) as Record<string, unknown>;
  const made = changed(old, rest, to);
  if (made === undefined) return others;
  // In its old place, so that what is sent reads as the form does.
  return { ...(value as Record<string, unknown> | undefined), [step]: made };
}

/** The value without one element of a list in it. */
export function removed(value: unknown, path: Path): unknown {
  const list = path.slice(0, -1);
  const elements = list.reduce((found: any, step) => found[step], value) as unknown[];
  return changed(value, list, elements.toSpliced(path.at(-1) as number, 1));
}

/** As in RFC 6901; the empty path is "". */
export const pointer = (path: Path): string =>
  path.map((step) => `/${String(step).replace(/~/g, "~0").replace(/\//g, "~1")}`).join("");

/** The server's way to name a field, such as `.moves[2].piece`, as a pointer. */
export function pointerOf(serverPath: string): string {
  const steps = serverPath.match(/[^.[\]]+/g) ?? [];
  return pointer(steps);
}
