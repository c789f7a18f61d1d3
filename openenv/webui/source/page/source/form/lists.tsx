// Lists: a row for each element; a grid of sliders where the schema says how many numbers there are.

import { initial } from "./data";
import { AnyField, FieldNotes, type FieldProps } from "./fields";
import { fieldOf } from "./schema";

export function ListField({ form, field, path, value }: FieldProps) {
  const { items = {}, minItems = 0, maxItems = Infinity } = field.schema;
  const elements = Array.isArray(value) ? value : [];
  const canAdd = elements.length < maxItems;
  const canRemove = elements.length > minItems;
  const add = () => form.set(path, [...elements, initial(items, form.schema) ?? empty(items.type)]);
  return (
    <fieldset class={`field list${isRowOfNumbers(field) ? " rows" : ""}`}>
      <legend>{field.name}</legend>
      <FieldNotes form={form} field={field} path={path} />
      <ol>
        {elements.map((element, index) => (
          <li key={index}>
            <AnyField
              form={form}
              field={fieldOf(`${field.name} ${index + 1}`, items, form.schema, true)}
              path={[...path, index]}
              value={element}
            />
            {canRemove && (
              <button
                type="button"
                class="small quiet"
                aria-label={`Remove ${field.name} ${index + 1}`}
                onClick={() => form.remove([...path, index])}
              >
                ✕
              </button>
            )}
          </li>
        ))}
      </ol>
      {canAdd && (
        <button type="button" class="small" onClick={add}>
          Add to {field.name}
        </button>
      )}
    </fieldset>
  );
}

/** As many numbers as the schema says: a line each. */
function isRowOfNumbers({ schema: { items, minItems, maxItems } }: FieldProps["field"]): boolean {
  return minItems === maxItems && (items?.type === "number" || items?.type === "integer");
}

const empty = (type: unknown) => (type === "string" ? "" : type === "object" ? {} : null);
