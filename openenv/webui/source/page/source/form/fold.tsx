// A part that is folded away until somebody wants it, or until something in it is wrong.

import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";

export function Fold({ title, note, isNeeded = false, children }: {
  title: string;
  /** Beside the title, as what is set inside. */
  note?: string;
  isNeeded?: boolean;
  children: ComponentChildren;
}) {
  const details = useRef<HTMLDetailsElement>(null);
  useEffect(() => {
    if (isNeeded && details.current) details.current.open = true;
  }, [isNeeded]);
  return (
    <details class="minor" ref={details}>
      <summary>
        {title}
        {note && <span class="count">{note}</span>}
      </summary>
      {children}
    </details>
  );
}
