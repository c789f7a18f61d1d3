// Fields that hold a document: JSON text, and bytes from a file.

import { useEffect, useState } from "preact/hooks";
import { attributes, Labelled, type FieldProps } from "./fields";
import { emptied } from "./schema";

const asText = (value: unknown) => (value == null ? "" : JSON.stringify(value, null, 2));

export function JsonField(props: FieldProps) {
  const { form, path, value } = props;
  const [text, setText] = useState(asText(value));
  const take = (given: string) => {
    setText(given);
    if (given.trim() === "") return form.set(path, emptied(props.field));
    try {
      form.set(path, JSON.parse(given));
    } catch (error) {
      form.refuse(path, `This is no JSON: ${(error as Error).message}`);
    }
  };
  useEffect(() => setText(asText(value)), [form.version.value]);
  return (
    <Labelled {...props}>
      <textarea
        {...attributes(props)}
        class="code"
        rows={2}
        spellcheck={false}
        placeholder="JSON"
        value={text}
        onInput={(event) => take(event.currentTarget.value)}
      />
      <FileInput label={`${props.field.name} from a file`} onFile={async (file) => take(await file.text())} />
    </Labelled>
  );
}

export function FileField(props: FieldProps) {
  const { form, path, value } = props;
  const take = async (file: File) => form.set(path, base64(new Uint8Array(await file.arrayBuffer())));
  return (
    <Labelled {...props}>
      <input
        {...attributes(props)}
        type="file"
        onChange={(event) => {
          const [file] = event.currentTarget.files ?? [];
          if (file) void take(file);
        }}
      />
      {typeof value === "string" && <span class="range">{Math.floor((value.length * 3) / 4)} bytes</span>}
    </Labelled>
  );
}

export function FileInput({ label, text = "From a file …", onFile, accept }: {
  label: string;
  text?: string;
  onFile: (file: File) => Promise<unknown>;
  accept?: string;
}) {
  return (
    <label class="file small">
      <input
        type="file"
        accept={accept}
        aria-label={label}
        onChange={(event) => {
          const input = event.currentTarget;
          const [file] = input.files ?? [];
          // Emptied, so that the same file can be chosen again.
          if (file) void onFile(file).finally(() => (input.value = ""));
        }}
      />
      <span aria-hidden="true">{text}</span>
    </label>
  );
}

function base64(bytes: Uint8Array): string {
  const chars = Array.from(bytes, (byte) => String.fromCharCode(byte));
  return btoa(chars.join(""));
}
