// A conversation: what was said as bubbles, and a box to say something.

import { useLayoutEffect, useRef } from "preact/hooks";
import { Fields } from "../form/fields";
import { Fold } from "../form/fold";
import type { Desk } from "./desk";
import { messageField, transcript } from "./transcript";

export function Chat({ desk }: { desk: Desk }) {
  const { play, config, action } = desk;
  const trace = play.trace.value;
  const field = messageField(config.action_schema);
  const end = useRef<HTMLDivElement>(null);
  const count = trace.length.value;
  useLayoutEffect(() => end.current?.scrollIntoView({ block: "nearest" }), [count]);
  if (!field) return null;
  const { [field]: _, ...others } = config.action_schema.properties ?? {};
  const value = action.value.value as Record<string, unknown>;
  const text = typeof value[field] === "string" ? value[field] : "";
  const send = async () => {
    if (await desk.step()) action.set([field], "");
  };
  const messages = count ? transcript(trace.episodeOf(count - 1), field) : [];
  return (
    <form
      id="action"
      class="chat"
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        void send();
      }}
    >
      <ol class="messages" aria-label="Conversation" aria-live="polite" tabIndex={0}>
        {messages.map(({ role, content }, index) => (
          <li key={index} class={`message ${role}`}>
            <span class="role">{role}</span>
            <p>{content}</p>
          </li>
        ))}
        <div ref={end} role="presentation" />
      </ol>
      <div class="say">
        <label for="say" class="hidden">{field}</label>
        <textarea
          id="say"
          rows={2}
          placeholder={play.hasSession.value ? "Say something as the assistant" : "Reset begins the conversation"}
          value={text}
          onInput={(event) => action.set([field], event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
            event.preventDefault();
            void send();
          }}
        />
      </div>
      <p class="note">Enter sends, Shift + Enter begins a new line.</p>
      {Object.keys(others).length > 0 && (
        <Fold title={`More: ${Object.keys(others).join(", ")}`}>
          <Fields form={action} schema={{ ...config.action_schema, properties: others }} path={[]} value={value} />
        </Fold>
      )}
    </form>
  );
}
