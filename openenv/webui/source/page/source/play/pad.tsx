// Buttons for the few things that can be done, with their keys.

import { useEffect } from "preact/hooks";
import type { Desk } from "./desk";
import { listen } from "./keyboard";

export function Pad({ desk }: { desk: Desk }) {
  const choices = desk.choices.value;
  const keys = desk.keys.value;
  const canPlay = desk.play.hasSession.value;
  useEffect(() => listen(desk), [desk]);
  if (!choices.length) return null;
  return (
    <section class="pad" aria-label="Actions">
      <div class="choices">
        {choices.map((choice) => (
          <button
            type="button"
            key={choice.label}
            class={desk.choice.value?.label === choice.label ? "is-last" : ""}
            disabled={!canPlay}
            aria-keyshortcuts={keys.hint(choice) || undefined}
            onClick={(event) => {
              leaveFocus(event);
              void desk.choose(choice);
            }}
          >
            {choice.label}
            {keys.hint(choice) && <kbd aria-hidden="true">{keys.hint(choice)}</kbd>}
          </button>
        ))}
      </div>
      {keys.nothing && (
        <label class="switch">
          <input
            type="checkbox"
            checked={desk.isRealTime.value}
            onChange={(event) => {
              desk.wantsRealTime.value = event.currentTarget.checked;
              event.currentTarget.blur();
            }}
          />
          Real time: the game goes on by itself
        </label>
      )}
    </section>
  );
}

/** After a click with the mouse the space bar belongs to the game, not to the button. */
export function leaveFocus(event: MouseEvent): void {
  if (event.detail > 0) (event.currentTarget as HTMLElement).blur();
}
