// The log of everything that was done: to be filtered, copied, kept, and looked at again.

import { useSignal } from "@preact/signals";
import { useMemo } from "preact/hooks";
import { writeRecording } from "../record/recording";
import type { Entry, Trace } from "../trace";
import { brief, duration, readable } from "../values";

const PAGE = 50;

export function Log({ trace }: { trace: Trace }) {
  const filter = useSignal("");
  const limit = useSignal(PAGE);
  const copied = useSignal(false);
  const count = trace.length.value;
  const matching = useMemo(
    () => matches(trace.entries, filter.value.trim().toLowerCase()),
    [trace, count, filter.value],
  );
  const copy = async () => {
    await navigator.clipboard.writeText(writeRecording(trace.entries, runName()));
    copied.value = true;
    setTimeout(() => (copied.value = false), 1500);
  };
  return (
    <section class="card log" aria-label="History">
      <div class="row">
        <h2>History <span class="count">{count}</span></h2>
        <input
          type="search"
          aria-label="Filter the history"
          placeholder="Filter"
          value={filter.value}
          onInput={(event) => (filter.value = event.currentTarget.value)}
        />
        {!trace.hasGaps && (
          <>
            <button type="button" class="small" onClick={() => void copy()}>{copied.value ? "Copied" : "Copy"}</button>
            <button type="button" class="small" onClick={() => download(trace)}>Download JSONL</button>
          </>
        )}
      </div>
      {trace.hasGaps && <p class="note">Steps were skipped: what is here is no whole recording.</p>}
      <div class="scroll" tabIndex={0} role="region" aria-label="Log of all actions">
        <table>
          <thead>
            <tr>
              <th scope="col">Step</th>
              <th scope="col">Time</th>
              <th scope="col">Action</th>
              <th scope="col">Observation</th>
              <th scope="col" class="number">Reward</th>
              <th scope="col">Done</th>
              <th scope="col" class="number">Latency</th>
            </tr>
          </thead>
          <tbody>
            {matching.slice(0, limit.value).map(([entry, index]) => (
              <Row
                key={index}
                entry={entry}
                isShown={index === trace.shown.value}
                onChoose={() => (trace.chosen.value = index === count - 1 ? null : index)}
              />
            ))}
          </tbody>
        </table>
        {matching.length === 0 && <p class="empty">Nothing matches the filter.</p>}
        {matching.length > limit.value && (
          <button type="button" class="small quiet" onClick={() => (limit.value *= 4)}>
            Show more of {matching.length - limit.value} older ones
          </button>
        )}
      </div>
    </section>
  );
}

/** The newest first, with their places. */
function matches(entries: readonly Entry[], filter: string): [Entry, number][] {
  const found: [Entry, number][] = [];
  for (let index = entries.length - 1; index >= 0; index--) {
    const entry = entries[index]!;
    if (!filter || textOf(entry).includes(filter)) found.push([entry, index]);
  }
  return found;
}

const textOf = (entry: Entry) =>
  `${entry.kind} ${endOf(entry)} ${brief(entry.action, 2000)} ${brief(entry.observation, 2000)}`.toLowerCase();

const endOf = (entry: Entry) => (entry.done ? "done" : entry.truncated ? "truncated" : "");

function Row({ entry, isShown, onChoose }: { entry: Entry; isShown: boolean; onChoose: () => void }) {
  // Who looks on may come in the middle of an episode.
  const isReset = entry.step === 0;
  return (
    <tr class={`${entry.kind}${isShown ? " is-shown" : ""}`} onClick={onChoose}>
      <td>
        <button type="button" class="link" aria-current={isShown ? "step" : undefined} aria-label={isReset ? "Show the reset" : `Show step ${entry.step}`}>
          {isReset ? "Reset" : entry.step}
        </button>
      </td>
      <td>{entry.at === null ? "–" : clock(entry.at)}</td>
      <td class="text">{isReset ? brief(entry.options, 60) : brief(entry.action, 60)}</td>
      <td class="text">{brief(entry.observation, 90)}</td>
      <td class="number">{entry.reward === null ? "–" : readable(Number(entry.reward))}</td>
      <td>{endOf(entry)}</td>
      <td class="number">{entry.latencyS === null ? "–" : duration(entry.latencyS)}</td>
    </tr>
  );
}

const clock = (at: number) => new Date(at).toLocaleTimeString("en-GB");

const runName = () => `web-${new Date().toISOString().slice(0, 19).replace(/[:T]/g, "-")}`;

function download(trace: Trace): void {
  const name = runName();
  const blob = new Blob([writeRecording(trace.entries, name)], { type: "application/jsonl" });
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = `${name}.jsonl`;
  link.click();
  URL.revokeObjectURL(link.href);
}
