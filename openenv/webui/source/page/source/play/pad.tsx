// Buttons for the few things that can be done, with their keys.

import { useEffect, useRef } from "preact/hooks";
import type { Choice } from "./choices";
import type { Desk } from "./desk";
import { listen, type Holding } from "./keyboard";

/** Shorter than this is a click. */
const HOLD_MS = 250;

export function Pad({ desk }: { desk: Desk }) {
  const choices = desk.choices.value;
  const keys = desk.keys.value;
  const holding = useRef<Holding | null>(null);
  useEffect(() => {
    holding.current = listen(desk);
    return () => holding.current?.stop();
  }, [desk]);
  if (!choices.length) return null;
  return (
    <section class="pad" aria-label="Actions">
      <div class="choices">
        {choices.map((choice) => (
          <ChoiceButton key={choice.label} desk={desk} choice={choice} hold={(held) => holding.current?.hold(held)} />
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

function ChoiceButton({ desk, choice, hold }: {
  desk: Desk;
  choice: Choice;
  hold: (choice: Choice | null) => void;
}) {
  const timer = useRef<ReturnType<typeof setTimeout>>();
  const wasHeld = useRef(false);
  const { hint, nothing } = desk.keys.value;
  const press = () => {
    wasHeld.current = false;
    // Only what passes in time is steered by holding: elsewhere a slow click would be two moves.
    if (!nothing) return;
    timer.current = setTimeout(() => {
      wasHeld.current = true;
      hold(choice);
    }, HOLD_MS);
  };
  const release = () => {
    clearTimeout(timer.current);
    hold(null);
  };
  return (
    <button
      type="button"
      class={desk.choice.value?.label === choice.label ? "is-last" : ""}
      disabled={!desk.play.hasSession.value}
      aria-keyshortcuts={hint(choice) || undefined}
      onPointerDown={press}
      onPointerUp={release}
      onPointerLeave={release}
      onPointerCancel={release}
      onContextMenu={(event) => event.preventDefault()}
      onClick={(event) => {
        leaveFocus(event);
        if (!wasHeld.current) void desk.choose(choice);
        wasHeld.current = false;
      }}
    >
      {choice.label}
      {hint(choice) && <kbd aria-hidden="true">{hint(choice)}</kbd>}
    </button>
  );
}

/** After a click with the mouse the space bar belongs to the game, not to the button. */
export function leaveFocus(event: MouseEvent): void {
  if (event.detail > 0) (event.currentTarget as HTMLElement).blur();
}
