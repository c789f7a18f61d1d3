// The control for each kind of field. Every one is labelled with the field's name.

import type { ComponentChildren, JSX } from "preact";
import { CodeField } from "./code";
import { pointer, type Path } from "./data";
import { FileField, JsonField } from "./documents";
import { Fold } from "./fold";
import type { Form } from "./form";
import { ListField } from "./lists";
import { emptied, fieldsOf, isMinor, type Field, type Schema } from "./schema";

export interface FieldProps {
  form: Form;
  field: Field;
  path: Path;
  value: unknown;
}

/** Ids are unique to the page, although it has several forms. */
const ids = new WeakMap<Form, number>();
let forms = 0;
export function idOf(form: Form, path: Path): string {
  if (!ids.has(form)) ids.set(form, ++forms);
  return `form${ids.get(form)}${pointer(path).replace(/[^\w-]/g, "-")}`;
}

export function Fields({ form, schema, path, value }: {
  form: Form;
  schema: Schema;
  path: Path;
  value: unknown;
}) {
  const fields = fieldsOf(schema, form.schema);
  const minor = fields.filter((field) => isMinor(field, fields));
  const main = fields.filter((field) => !minor.includes(field));
  const values = (value ?? {}) as Record<string, unknown>;
  const draw = (field: Field) => (
    <AnyField
      key={field.name}
      form={form}
      field={field}
      path={[...path, field.name]}
      value={values[field.name]}
    />
  );
  return (
    <>
      {main.map(draw)}
      {minor.length > 0 && (
        <Fold title={`More: ${minor.map((field) => field.name).join(", ")}`}>{minor.map(draw)}</Fold>
      )}
    </>
  );
}

export function AnyField(props: FieldProps) {
  switch (props.field.kind) {
    case "object":
      return <ObjectField {...props} />;
    case "list":
      return <ListField {...props} />;
    case "boolean":
      return props.field.isNullable ? <ChoiceField {...props} /> : <BooleanField {...props} />;
    case "choice":
      return <ChoiceField {...props} />;
    case "number":
    case "integer":
      return <NumberField {...props} />;
    case "code":
      return <CodeField {...props} />;
    case "file":
      return <FileField {...props} />;
    case "json":
      return <JsonField {...props} />;
    case "prose":
    case "text":
      return <TextField {...props} />;
  }
}

/** Label, control, what the schema says about it, and what is wrong with it. */
export function Labelled({ form, field, path, children }: FieldProps & {
  children: ComponentChildren;
}) {
  const id = idOf(form, path);
  return (
    <div class={`field field-${field.kind}`}>
      <label for={id}>
        {field.name}
        {field.isRequired && <span class="required" aria-hidden="true">*</span>}
      </label>
      {children}
      <FieldNotes form={form} field={field} path={path} />
    </div>
  );
}

export function FieldNotes({ form, field, path }: Pick<FieldProps, "form" | "field" | "path">) {
  const id = idOf(form, path);
  const error = form.errors.value.get(pointer(path));
  const note = field.schema.description;
  return (
    <>
      {note && <p class="note" id={`${id}-note`}>{note}</p>}
      {error && <p class="field-error" id={`${id}-error`} role="alert">{error}</p>}
    </>
  );
}

/** The attributes that every control has. */
export function attributes({ form, field, path }: FieldProps) {
  const id = idOf(form, path);
  const hasError = form.errors.value.has(pointer(path));
  const notes = [field.schema.description && `${id}-note`, hasError && `${id}-error`];
  return {
    id,
    name: path.join("."),
    "aria-required": field.isRequired,
    "aria-invalid": hasError,
    "aria-describedby": notes.filter(Boolean).join(" ") || undefined,
  };
}

function ObjectField({ form, field, path, value }: FieldProps) {
  return (
    <fieldset class="field">
      <legend>{field.name}</legend>
      <Fields form={form} schema={field.schema} path={path} value={value} />
      <FieldNotes form={form} field={field} path={path} />
    </fieldset>
  );
}

function BooleanField(props: FieldProps) {
  const { form, field, path, value } = props;
  return (
    <div class="field field-boolean">
      <label>
        <input
          {...attributes(props)}
          type="checkbox"
          checked={value === true}
          onChange={(event) => form.set(path, event.currentTarget.checked)}
        />
        {field.name}
      </label>
      <FieldNotes form={form} field={field} path={path} />
    </div>
  );
}

function ChoiceField(props: FieldProps) {
  const { form, field, path, value } = props;
  const { schema } = field;
  const options = schema.enum ?? ("const" in schema ? [schema.const] : [true, false]);
  const canBeEmpty = field.isNullable || !field.isRequired;
  const onChange = (event: JSX.TargetedEvent<HTMLSelectElement>) => {
    const index = Number(event.currentTarget.value);
    form.set(path, index < 0 ? emptied(field) : options[index]);
  };
  return (
    <Labelled {...props}>
      <select {...attributes(props)} value={options.indexOf(value)} onChange={onChange}>
        {canBeEmpty && <option value={-1}>not set</option>}
        {options.map((option, index) => (
          <option value={index}>{typeof option === "string" ? option : JSON.stringify(option)}</option>
        ))}
      </select>
    </Labelled>
  );
}

function TextField(props: FieldProps) {
  const { form, field, path, value } = props;
  const shared = {
    ...attributes(props),
    value: typeof value === "string" ? value : "",
    placeholder: exampleOf(field.schema),
    onInput: (event: JSX.TargetedEvent<HTMLInputElement | HTMLTextAreaElement>) => {
      const text = event.currentTarget.value;
      form.set(path, text === "" && !field.isRequired ? emptied(field) : text);
    },
  };
  return (
    <Labelled {...props}>
      {field.kind === "prose" ? (
        <textarea {...shared} rows={2} />
      ) : (
        <input {...shared} type="text" autocomplete="off" spellcheck={false} />
      )}
    </Labelled>
  );
}

function exampleOf({ examples }: Schema): string | undefined {
  const example = examples?.find((one) => typeof one === "string" && one !== "");
  return example === undefined ? undefined : `such as: ${String(example)}`;
}

function NumberField(props: FieldProps) {
  const { form, field, path, value } = props;
  const { minimum, maximum, multipleOf } = field.schema;
  const step = field.kind === "integer" ? 1 : (multipleOf ?? "any");
  const set = (event: JSX.TargetedEvent<HTMLInputElement>) => {
    const { value: text, validity } = event.currentTarget;
    if (validity.badInput) form.refuse(path, "This is no number.");
    else form.set(path, text === "" ? emptied(field) : Number(text));
  };
  const number = typeof value === "number" ? value : "";
  const hasRange = minimum !== undefined && maximum !== undefined && field.kind === "number";
  return (
    <Labelled {...props}>
      <div class="number">
        <input
          {...attributes(props)}
          type="number"
          min={minimum}
          max={maximum}
          step={step}
          value={number}
          onInput={set}
        />
        {hasRange && (
          <input
            type="range"
            aria-label={`${field.name}, by slider`}
            min={minimum}
            max={maximum}
            step={(maximum - minimum) / 100}
            value={number === "" ? (minimum + maximum) / 2 : number}
            onInput={set}
          />
        )}
        <Range schema={field.schema} />
      </div>
    </Labelled>
  );
}

function Range({ schema }: { schema: Schema }) {
  const low = schema.minimum ?? schema.exclusiveMinimum;
  const high = schema.maximum ?? schema.exclusiveMaximum;
  if (low === undefined && high === undefined) return null;
  const words = [
    low !== undefined && (schema.minimum === undefined ? `above ${low}` : `from ${low}`),
    high !== undefined && (schema.maximum === undefined ? `below ${high}` : `to ${high}`),
  ];
  return <span class="range">{words.filter(Boolean).join(" ")}</span>;
}

