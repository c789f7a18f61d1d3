// What is wrong with a form's value, by field, before anything is sent.

import { Validator } from "@cfworker/json-schema";
import type { Schema } from "./schema";

/** Messages by pointer. This validator interprets schemas: others need `eval`, which is forbidden. */
export function problems(value: unknown, schema: Schema): Map<string, string> {
  const { errors } = new Validator(schema as object, "2020-12", false).validate(value ?? null);
  const found = new Map<string, string>();
  for (const { instanceLocation, keyword, error } of errors) {
    if (CONTAINERS.has(keyword)) continue;
    const missing = keyword === "required" ? /"(.*)"/.exec(error)?.[1] : undefined;
    const at = instanceLocation.replace(/^#/, "") + (missing === undefined ? "" : `/${missing}`);
    if (!found.has(at)) found.set(at, plain(keyword, error));
  }
  return found;
}

/** They only say that something inside is wrong. */
const CONTAINERS = new Set(["properties", "items", "anyOf", "oneOf", "allOf", "$ref", "prefixItems"]);

const PLAIN: [keyword: string, pattern: RegExp, message: string][] = [
  ["required", /.*/, "Please fill this in."],
  ["type", /Expected "(.*)"/, "This must be of type $1."],
  ["minimum", /^(\S+) is less than (\S+)\.$/, "This must be at least $2."],
  ["maximum", /^(\S+) is greater than (\S+)\.$/, "This must be at most $2."],
  ["exclusiveMinimum", /than (?:or equal to )?(\S+)\.$/, "This must be above $1."],
  ["exclusiveMaximum", /than (?:or equal to )?(\S+)\.$/, "This must be below $1."],
  ["minLength", /< (\d+)/, "At least $1 characters, please."],
  ["maxLength", /> (\d+)/, "At most $1 characters, please."],
  ["minItems", /< (\d+)/, "At least $1, please."],
  ["maxItems", /> (\d+)/, "At most $1, please."],
  ["enum", /(\[.*\])/, "This must be one of $1."],
];

function plain(keyword: string, error: string): string {
  for (const [name, pattern, message] of PLAIN) {
    const match = name === keyword && pattern.exec(error);
    if (match) return message.replace(/\$(\d)/g, (_, group: string) => match[Number(group)] ?? "");
  }
  return error;
}
