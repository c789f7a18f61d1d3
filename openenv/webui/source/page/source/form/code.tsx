// Code: an editor that is loaded when the first field needs it, and a plain text area until then.

import { useEffect, useRef, useState } from "preact/hooks";
import { attributes, idOf, Labelled, type FieldProps } from "./fields";
import type { Editor } from "./editor";

export function CodeField(props: FieldProps) {
  const { form, field, path, value } = props;
  const text = typeof value === "string" ? value : "";
  const host = useRef<HTMLDivElement>(null);
  const editor = useRef<Editor | null>(null);
  const [isLoaded, setLoaded] = useState(false);
  const take = (given: string) => form.set(path, given);

  useEffect(() => {
    let isGone = false;
    void import("./editor").then(({ openEditor }) => {
      if (isGone || !host.current) return;
      const id = idOf(form, path);
      editor.current = openEditor(host.current, { id, label: field.name, text, onChange: take });
      setLoaded(true);
    });
    return () => {
      isGone = true;
      editor.current?.close();
    };
  }, [form]);
  useEffect(() => editor.current?.show(text), [form.version.value]);

  return (
    <Labelled {...props}>
      {!isLoaded && (
        <textarea
          {...attributes(props)}
          class="code"
          rows={6}
          spellcheck={false}
          value={text}
          onInput={(event) => take(event.currentTarget.value)}
        />
      )}
      <div ref={host} class="editor" hidden={!isLoaded} />
    </Labelled>
  );
}
