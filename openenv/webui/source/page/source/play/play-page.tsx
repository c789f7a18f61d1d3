// Playing by hand: the agent on the left, what came of it on the right.

import { Episode } from "../view/episode";
import { readable } from "../values";
import { Agent } from "./agent";
import type { Desk } from "./desk";

export function PlayPage({ desk }: { desk: Desk }) {
  const { play, config } = desk;
  const trace = play.trace.value;
  const hasEntries = trace.length.value > 0;
  const act = play.hasSession.value ? (action: unknown) => void desk.send(action) : null;
  const render = config.render && play.hasSession.value ? () => play.render() : null;
  return (
    <main class="panes">
      <Agent desk={desk} />
      {hasEntries ? (
        <Episode trace={trace} state={play.state.value} act={act} render={render} isLive />
      ) : (
        <Welcome desk={desk} />
      )}
      <Spoken desk={desk} />
    </main>
  );
}

function Welcome({ desk }: { desk: Desk }) {
  const { config } = desk;
  return (
    <section class="card stage welcome" aria-label="View">
      <h2>{config.title || config.name}</h2>
      <p>Nothing has happened yet.</p>
      <button type="button" class="primary large" disabled={desk.play.status.value !== "open"} onClick={() => void desk.reset()}>
        Begin an episode
      </button>
    </section>
  );
}

/** For screen readers: what each step has brought. In real time only what matters. */
function Spoken({ desk }: { desk: Desk }) {
  const trace = desk.play.trace.value;
  const last = trace.length.value ? trace.last : undefined;
  const isWorthIt = !desk.isRealTime.value || Boolean(last?.reward) || desk.isOver.value;
  const end = last?.done ? ", the episode is over" : last?.truncated ? ", the episode was ended" : "";
  const text = !last
    ? ""
    : last.kind === "reset"
      ? "An episode has begun"
      : `Step ${last.step}: reward ${readable(Number(last.reward ?? 0))}, total ${readable(last.total)}${end}`;
  return <p class="hidden" role="status">{isWorthIt ? text : ""}</p>;
}
