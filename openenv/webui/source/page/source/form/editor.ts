// CodeMirror with what a field of Python needs. A chunk of its own: only code fields load it.

import { closeBrackets, closeBracketsKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import { python } from "@codemirror/lang-python";
import { bracketMatching, HighlightStyle, indentOnInput, indentUnit, syntaxHighlighting } from "@codemirror/language";
import { EditorState } from "@codemirror/state";
import { drawSelection, EditorView, highlightActiveLine, keymap, lineNumbers } from "@codemirror/view";
import { tags } from "@lezer/highlight";

export interface Editor {
  show(text: string): void;
  close(): void;
}

const colours = HighlightStyle.define([
  { tag: [tags.keyword, tags.bool, tags.null], color: "var(--code-keyword)" },
  { tag: [tags.string, tags.special(tags.string)], color: "var(--code-string)" },
  { tag: tags.number, color: "var(--code-number)" },
  { tag: tags.comment, color: "var(--code-comment)", fontStyle: "italic" },
  { tag: [tags.function(tags.variableName), tags.definition(tags.className)], color: "var(--code-name)" },
]);

const looks = EditorView.theme({
  "&": { fontSize: "14px", maxHeight: "45vh" },
  "&.cm-focused": { outline: "none" },
  ".cm-scroller": { fontFamily: "var(--mono)", lineHeight: "1.5", overflow: "auto" },
  ".cm-content": { minHeight: "7.5em", padding: "8px 0", caretColor: "var(--text)" },
  ".cm-gutters": { background: "transparent", color: "var(--faint)", border: "none" },
  ".cm-activeLine, .cm-activeLineGutter": { background: "var(--hover)" },
  ".cm-cursor": { borderLeftColor: "var(--text)" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": {
    background: "var(--selection)",
  },
});

/** Ctrl-Enter is the form's: it sends. */
const withoutSending = defaultKeymap.filter((binding) => binding.key !== "Mod-Enter");

export function openEditor(
  host: HTMLElement,
  given: { id: string; label: string; text: string; onChange: (text: string) => void },
): Editor {
  // In a shadow root the editor adopts its style sheet; elsewhere it would write <style> into the
  // page, which the page's policy forbids.
  const root = host.shadowRoot ?? host.attachShadow({ mode: "open" });
  const view = new EditorView({
    root,
    parent: root as unknown as Element,
    state: EditorState.create({
      doc: given.text,
      extensions: [
        lineNumbers(),
        history(),
        drawSelection(),
        indentUnit.of("    "),
        indentOnInput(),
        bracketMatching(),
        closeBrackets(),
        highlightActiveLine(),
        python(),
        syntaxHighlighting(colours),
        looks,
        EditorView.contentAttributes.of({ id: given.id, "aria-label": given.label }),
        // Escape, then Tab, leaves the editor by keyboard.
        keymap.of([...closeBracketsKeymap, ...withoutSending, ...historyKeymap, indentWithTab]),
        EditorView.updateListener.of((update) => {
          if (update.docChanged) given.onChange(update.state.doc.toString());
        }),
      ],
    }),
  });
  return {
    show: (text) => {
      const now = view.state.doc.toString();
      if (text !== now) view.dispatch({ changes: { from: 0, to: now.length, insert: text } });
    },
    close: () => view.destroy(),
  };
}
