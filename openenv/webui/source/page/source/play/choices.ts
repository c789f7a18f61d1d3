// The few things that can be done next, where an environment has such: buttons and keys for them.

import type { Choice, PageConfig } from "../config";
import { fieldsOf, isMinor, type Field } from "../form/schema";
import { isRecord } from "../values";

export type { Choice };

const MOST = 64;

/** What can be done now: by the server's list, the observation's, or the schema's. */
export function choicesOf(config: PageConfig, observation: unknown): Choice[] {
  if (config.discrete_actions) return config.discrete_actions;
  const field = onlyField(config);
  if (!field) return [];
  const values = listed(field, observation) ?? enumerated(field) ?? [];
  if (values.length > MOST) return [];
  const names = namesFor(values, field, observation);
  return values.map((value, index) => ({
    label: names?.[index] ?? (typeof value === "string" ? value : `${field.name} ${String(value)}`),
    action: { [field.name]: value },
  }));
}

/** The one field that says what is done, if an action has no other that matters. */
function onlyField({ action_schema: schema }: PageConfig): Field | undefined {
  const fields = fieldsOf(schema, schema);
  const main = fields.filter((field) => !isMinor(field, fields));
  return main.length === 1 ? main[0] : undefined;
}

function listed(field: Field, observation: unknown): unknown[] | undefined {
  const { among } = field.schema;
  if (!among || !isRecord(observation)) return undefined;
  const list = observation[among];
  return Array.isArray(list) ? list : [];
}

function enumerated({ kind, schema }: Field): unknown[] | undefined {
  if (kind === "choice") return schema.enum;
  if (kind === "boolean") return [true, false];
  const { minimum, maximum } = schema;
  if (kind !== "integer" || minimum === undefined || maximum === undefined) return undefined;
  if (maximum - minimum >= 18) return undefined;
  return Array.from({ length: maximum - minimum + 1 }, (_, index) => minimum + index);
}

/** Names that the observation has for just these values, such as `action_names`. */
function namesFor(values: unknown[], field: Field, observation: unknown): string[] | undefined {
  if (!field.schema.among || !isRecord(observation)) return undefined;
  const lists = Object.entries(observation).filter(
    ([key, list]) => /names?$/.test(key) && Array.isArray(list) && list.length === values.length,
  );
  return lists[0]?.[1] as string[] | undefined;
}

