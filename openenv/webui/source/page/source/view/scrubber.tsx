// Back and forth in what has happened: a slider, single steps, and replaying at a pace.

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import type { Trace } from "../trace";

const PACES = [1, 4, 15, 60];

export function Scrubber({ trace, isLive }: { trace: Trace; isLive: boolean }) {
  const isPlaying = useSignal(false);
  const pace = useSignal(4);
  const newest = trace.length.value - 1;
  const shown = trace.shown.value;

  const show = (index: number) => {
    const isNewest = index >= newest;
    // At the end of what is live, what comes next is followed.
    trace.chosen.value = isNewest && isLive ? null : Math.min(Math.max(index, 0), newest);
  };
  useEffect(() => {
    if (!isPlaying.value) return;
    const timer = setInterval(() => {
      const next = trace.shown.peek() + 1;
      show(next);
      if (next >= trace.length.peek() - 1) isPlaying.value = false;
    }, 1000 / pace.value);
    return () => clearInterval(timer);
  }, [isPlaying.value, pace.value, trace]);

  if (newest < 1) return null;
  const replay = () => {
    if (!isPlaying.value && shown >= newest) show(0);
    isPlaying.value = !isPlaying.value;
  };
  return (
    <div class="scrubber" role="group" aria-label="Replay">
      <button type="button" class="small" onClick={replay}>{isPlaying.value ? "Pause" : "Replay"}</button>
      <button type="button" class="small" aria-label="One step back" disabled={shown <= 0} onClick={() => show(shown - 1)}>‹</button>
      <input
        type="range"
        aria-label="Moment to look at"
        aria-valuetext={`${shown + 1} of ${newest + 1}`}
        min={0}
        max={newest}
        value={shown}
        onInput={(event) => show(Number(event.currentTarget.value))}
      />
      <button type="button" class="small" aria-label="One step forward" disabled={shown >= newest} onClick={() => show(shown + 1)}>›</button>
      <span class="range">{shown + 1} / {newest + 1}</span>
      <select aria-label="Steps a second" value={pace.value} onChange={(event) => (pace.value = Number(event.currentTarget.value))}>
        {PACES.map((one) => <option value={one}>{one}/s</option>)}
      </select>
      {isLive && trace.chosen.value !== null && (
        <button type="button" class="small" onClick={() => (trace.chosen.value = null)}>Back to now</button>
      )}
    </div>
  );
}
