// What a JSON schema says about a field: which control fits, and what it starts with.

export interface Schema {
  type?: string | string[];
  title?: string;
  description?: string;
  properties?: Record<string, Schema>;
  required?: string[];
  additionalProperties?: boolean | Schema;
  items?: Schema;
  enum?: unknown[];
  const?: unknown;
  default?: unknown;
  examples?: unknown[];
  anyOf?: Schema[];
  oneOf?: Schema[];
  allOf?: Schema[];
  $ref?: string;
  $defs?: Record<string, Schema>;
  definitions?: Record<string, Schema>;
  format?: string;
  contentEncoding?: string;
  contentMediaType?: string;
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: number;
  exclusiveMaximum?: number;
  multipleOf?: number;
  minLength?: number;
  maxLength?: number;
  minItems?: number;
  maxItems?: number;
  /** The field of the observation that lists what may be given here. */
  among?: string;
}

export type Kind =
  | "text"
  | "prose"
  | "code"
  | "file"
  | "number"
  | "integer"
  | "boolean"
  | "choice"
  | "list"
  | "object"
  | "json";

export interface Field {
  name: string;
  kind: Kind;
  /** Without references and without the `null` of an optional value. */
  schema: Schema;
  isRequired: boolean;
  isNullable: boolean;
}

/** Follow references and open up what has only one possibility. */
export function resolve(schema: Schema, root: Schema): Schema {
  let seen = schema;
  for (let hops = 0; hops < 32; hops++) {
    const [only] = seen.allOf ?? [];
    if (seen.$ref) {
      const { $ref, ...beside } = seen;
      seen = { ...at(root, $ref), ...beside };
    } else if (only && seen.allOf?.length === 1) {
      const { allOf: _, ...beside } = seen;
      seen = { ...only, ...beside };
    } else break;
  }
  return seen;
}

function at(root: Schema, reference: string): Schema {
  const steps = reference.replace(/^#\/?/, "").split("/").filter(Boolean);
  let found: unknown = root;
  for (const step of steps) {
    const key = step.replace(/~1/g, "/").replace(/~0/g, "~");
    found = (found as Record<string, unknown> | undefined)?.[key];
  }
  return (found as Schema | undefined) ?? {};
}

export function fieldOf(name: string, given: Schema, root: Schema, isRequired: boolean): Field {
  const outer = resolve(given, root);
  const options = outer.anyOf ?? outer.oneOf ?? [];
  const real = options.map((option) => resolve(option, root)).filter((one) => one.type !== "null");
  const types = Array.isArray(outer.type) ? outer.type.filter((one) => one !== "null") : [];
  let isNullable = real.length < options.length;
  let schema = outer;
  if (real.length === 1) schema = { ...outer, ...real[0], anyOf: undefined, oneOf: undefined };
  if (types.length === 1) {
    isNullable = (outer.type as string[]).includes("null");
    schema = { ...schema, type: types[0] };
  }
  return { name, kind: kindOf(name, schema), schema, isRequired, isNullable };
}

/** The fields of an object, those that must be given first. */
export function fieldsOf(object: Schema, root: Schema): Field[] {
  const required = new Set(object.required ?? []);
  const fields = Object.entries(object.properties ?? {}).map(([name, schema]) =>
    fieldOf(name, schema, root, required.has(name)),
  );
  return [...fields.filter((one) => one.isRequired), ...fields.filter((one) => !one.isRequired)];
}

/** What a field holds when it was emptied: null, where leaving it out would mean something else. */
export const emptied = ({ isNullable, isRequired, schema }: Field): null | undefined =>
  isNullable && (isRequired || schema.default != null) ? null : undefined;

/** Whether hardly anybody gives it, so that it may stay folded away. */
export function isMinor(field: Field, siblings: Field[]): boolean {
  if (field.isRequired) return false;
  if (field.name === "metadata") return true;
  return field.isNullable && siblings.some((one) => one.isRequired);
}

const CODE = /(^|_)(code|script|program|snippet|sql)$/;
const PROSE = /(^|_)(text|prompt|content|body|context|instruction)$/;

function kindOf(name: string, schema: Schema): Kind {
  if (schema.enum || "const" in schema) return "choice";
  switch (schema.type) {
    case "string":
      return textKind(name, schema);
    case "number":
    case "integer":
    case "boolean":
      return schema.type;
    case "array":
      return schema.items && Object.keys(schema.items).length ? "list" : "json";
    case "object":
      return schema.properties && !("__array__" in schema.properties) ? "object" : "json";
  }
  return "json";
}

function textKind(name: string, schema: Schema): Kind {
  if (schema.contentEncoding === "base64" || schema.format === "binary") return "file";
  if (schema.format === "code" || schema.contentMediaType?.startsWith("text/x-")) return "code";
  if (CODE.test(name)) return "code";
  const isShort = (schema.maxLength ?? Infinity) <= 80;
  return !isShort && (schema.format === "textarea" || PROSE.test(name)) ? "prose" : "text";
}
