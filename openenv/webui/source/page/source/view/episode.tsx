// Everything there is to see of a trace: the right pane of playing, watching and replaying.

import { useSignal } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";
import type { Entry, Trace } from "../trace";
import { duration, readable } from "../values";
import { Changes } from "./changes";
import type { ViewInput } from "./custom";
import { diff } from "./diff";
import { Log } from "./log";
import { RewardPlot } from "./plot";
import { Scrubber } from "./scrubber";
import { Stage } from "./stage";
import { Tree } from "./tree";

export interface EpisodeProps {
  trace: Trace;
  /** The environment's state, if it was asked for. */
  state?: unknown;
  act?: ViewInput["act"];
  render?: ViewInput["render"];
  /** Whether more may come. */
  isLive: boolean;
}

export function Episode({ trace, state, act = null, render = null, isLive }: EpisodeProps) {
  const shown = trace.shown.value;
  const entry = trace.entries[shown];
  if (!entry) return null;
  const isNewest = shown === trace.length.value - 1;
  const previous = entry.kind === "reset" ? undefined : trace.entries[shown - 1];
  const stage = { entry, previous, state, act: isNewest ? act : null, render: isNewest ? render : null };
  return (
    <>
      <section class="card stage" aria-label="View">
        <Facts entry={entry} isNewest={isNewest} isLive={isLive} />
        <Stage {...stage} />
        <Scrubber trace={trace} isLive={isLive} />
      </section>
      <Details entry={entry} previous={previous} state={isNewest ? state : undefined} />
      <Rewards trace={trace} shown={shown} />
      <Log trace={trace} />
    </>
  );
}

function Facts({ entry, isNewest, isLive }: { entry: Entry; isNewest: boolean; isLive: boolean }) {
  const end = entry.done ? "Done" : entry.truncated ? "Truncated" : null;
  return (
    <div class="facts">
      <Fact name="Step" value={entry.step} />
      <Fact name="Reward" value={entry.reward === null ? "–" : readable(Number(entry.reward))} />
      <Fact name="Total" value={Number.isNaN(entry.total) ? "–" : readable(entry.total)} />
      {entry.latencyS !== null && <Fact name="Took" value={duration(entry.latencyS)} />}
      {end && <span class="badge end">{end}</span>}
      {!isNewest && isLive && <span class="badge past">Looking back</span>}
    </div>
  );
}

function Fact({ name, value }: { name: string; value: string | number }) {
  return (
    <span class="fact">
      <span class="fact-name">{name}</span> <b>{value}</b>
    </span>
  );
}

type Tab = "Observation" | "Changes" | "State";

function Details({ entry, previous, state }: {
  entry: Entry;
  previous: Entry | undefined;
  state: unknown;
}) {
  const tab = useSignal<Tab>("Observation");
  const changes = useMemo(
    () => (previous ? diff(previous.observation, entry.observation) : []),
    [entry, previous],
  );
  const marked = useMemo(() => new Set(changes.map((change) => change.path)), [changes]);
  useEffect(() => {
    if (state !== undefined) tab.value = "State";
    else if (tab.peek() === "State") tab.value = "Observation";
  }, [state]);
  const names: Tab[] = state === undefined ? ["Observation", "Changes"] : ["Observation", "Changes", "State"];
  return (
    <section class="card" aria-label="Details">
      <Tabs names={names} chosen={tab.value} onChoose={(name) => (tab.value = name)} counts={{ Changes: changes.length }} />
      <div role="tabpanel" id="details-panel" aria-label={tab.value} tabIndex={0}>
        {tab.value === "Observation" && <Tree value={entry.observation} marked={marked} label="Observation" />}
        {tab.value === "Observation" && hasContent(entry.metadata) && (
          <>
            <h3>Metadata</h3>
            <Tree value={entry.metadata} label="Metadata" />
          </>
        )}
        {tab.value === "Changes" && (previous ? <Changes changes={changes} /> : <p class="empty">An episode begins here.</p>)}
        {tab.value === "State" && <Tree value={state} label="State" />}
      </div>
    </section>
  );
}

const hasContent = (value: unknown) =>
  typeof value === "object" && value !== null && Object.keys(value).length > 0;

function Tabs<Name extends string>({ names, chosen, onChoose, counts }: {
  names: Name[];
  chosen: Name;
  onChoose: (name: Name) => void;
  counts: Partial<Record<Name, number>>;
}) {
  const move = (event: KeyboardEvent) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    const next = names[(names.indexOf(chosen) + step + names.length) % names.length]!;
    onChoose(next);
    document.getElementById(`tab-${next}`)?.focus();
  };
  return (
    <div class="tabs" role="tablist" aria-label="Details" onKeyDown={move}>
      {names.map((name) => (
        <button
          type="button"
          role="tab"
          id={`tab-${name}`}
          aria-selected={name === chosen}
          aria-controls="details-panel"
          tabIndex={name === chosen ? 0 : -1}
          onClick={() => onChoose(name)}
        >
          {name}
          {counts[name] ? <span class="count">{counts[name]}</span> : null}
        </button>
      ))}
    </div>
  );
}

function Rewards({ trace, shown }: { trace: Trace; shown: number }) {
  const entries = trace.episodeOf(shown);
  const cursor = entries.indexOf(trace.entries[shown]!);
  if (entries.length < 2) return null;
  return (
    <section class="card" aria-label="Rewards">
      <h2>
        Rewards <span class="key-reward">each step</span> <span class="key-total">total</span>
      </h2>
      <RewardPlot entries={entries} cursor={cursor} />
    </section>
  );
}
