// Watch: the sessions of this server as a wall or a list, and one of them from near.

import { useSignal } from "@preact/signals";
import type { ComponentChild } from "preact";
import { useEffect, useMemo } from "preact/hooks";
import type { Summary } from "openenv";
import type { Play } from "../play/play";
import { brief, duration, readable } from "../values";
import { Episode } from "../view/episode";
import { Drawn } from "../view/picture";
import { drawingsOf } from "../view/pixels";
import { Watching } from "./watching";

export function WatchPage({ play, isAllowed }: { play: Play; isAllowed: boolean }) {
  const link = play.link.value;
  const watching = useMemo(() => (link && isAllowed ? new Watching(link) : null), [link, isAllowed]);
  useEffect(() => {
    watching?.start();
    return () => watching?.stop();
  }, [watching]);
  if (!isAllowed) return <NotAllowed />;
  if (!watching) return <Unconnected play={play} />;
  const tryAgain = async () => {
    watching.problem.value = null;
    await play.recover();
    // On a new connection there is a new wall.
    if (play.link.value === link) watching.problem.value = play.problem.value?.message ?? null;
  };
  const problem = watching.problem.value && <Problem message={watching.problem.value} tryAgain={tryAgain} />;
  return watching.followed.value ? (
    <Followed watching={watching} problem={problem} />
  ) : (
    <Wall watching={watching} problem={problem} />
  );
}

interface Shown {
  watching: Watching;
  problem: ComponentChild;
}

function Unconnected({ play }: { play: Play }) {
  const problem = play.problem.value;
  return (
    <main class="about">
      {problem ? (
        <Problem message={problem.message} tryAgain={() => play.connect()} />
      ) : (
        <p class="empty">Waiting for the connection.</p>
      )}
    </main>
  );
}

function Problem({ message, tryAgain }: { message: string; tryAgain: () => Promise<void> }) {
  return (
    <div class="problem" role="alert">
      <p>{message}</p>
      <button type="button" onClick={() => void tryAgain()}>Try again</button>
    </div>
  );
}

function NotAllowed() {
  return (
    <main class="about">
      <section class="card prose">
        <h2>This server shows its sessions to nobody</h2>
        <p>Whoever runs it can allow spectators:</p>
        <pre><code>openenv serve ENVIRONMENT --web --watch</code></pre>
      </section>
    </main>
  );
}

function Wall({ watching, problem }: Shown) {
  const filter = useSignal("");
  const asList = useSignal(false);
  const words = filter.value.trim().toLowerCase();
  const all = watching.sorted.value;
  const shown = all.filter((one) => !words || `${one.label} ${one.environment} ${one.session}`.toLowerCase().includes(words));
  const rate = all.reduce((sum, one) => sum + (one.steps_per_s ?? 0), 0);
  return (
    <main class="watch">
      <div class="row">
        <h2>
          {all.length === 1 ? "1 live session" : `${all.length} live sessions`}
          {rate > 0 && <span class="count">{readable(rate, 3)} steps/s</span>}
        </h2>
        <input
          type="search"
          aria-label="Filter the sessions"
          placeholder="Filter by label"
          value={filter.value}
          onInput={(event) => (filter.value = event.currentTarget.value)}
        />
        <button type="button" class="small" aria-pressed={asList.value} onClick={() => (asList.value = !asList.value)}>
          {asList.value ? "As a wall" : "As a list"}
        </button>
      </div>
      {problem}
      {all.length === 0 && watching.hasAnswered.value && (
        <section class="card welcome">
          <p>Nobody plays right now. Sessions appear here as soon as they begin.</p>
        </section>
      )}
      {asList.value ? <List sessions={shown} watching={watching} /> : <Tiles sessions={shown} watching={watching} />}
    </main>
  );
}

const nameOf = ({ label, session }: Summary) => label || `session ${session.slice(0, 6)}`;

/** A total that began before anybody watched is not known. */
const totalOf = ({ total_reward: total }: Summary) => (total === null ? "–" : readable(total));

const endOf = ({ done, truncated }: Summary) => (done ? "done" : truncated ? "truncated" : null);

function Tiles({ sessions, watching }: { sessions: Summary[]; watching: Watching }) {
  return (
    <ul class="tiles">
      {sessions.map((summary) => (
        <li key={summary.session}>
          <button type="button" class="tile" onClick={() => watching.follow(summary.session)}>
            <Thumbnail summary={summary} />
            <b>{nameOf(summary)}</b>
            <span class="episode-name">{summary.episode_id ?? `session ${summary.session.slice(0, 6)}`}</span>
            <span class="tile-facts">
              <span>{endOf(summary) ?? `step ${summary.step}`}</span>
              <span>total {totalOf(summary)}</span>
              <span>{readable(summary.steps_per_s ?? 0, 2)}/s</span>
            </span>
          </button>
        </li>
      ))}
    </ul>
  );
}

function Thumbnail({ summary }: { summary: Summary }) {
  const drawing = useMemo(() => drawingsOf(summary.observation)[0], [summary]);
  return (
    <span class="thumbnail">
      {drawing?.pixels || drawing?.url ? (
        <Drawn drawing={drawing} hasCaption={false} />
      ) : (
        <span class="text">{drawing?.text ?? brief(summary.observation ?? "", 200)}</span>
      )}
    </span>
  );
}

function List({ sessions, watching }: { sessions: Summary[]; watching: Watching }) {
  return (
    <div class="card scroll" tabIndex={0} role="region" aria-label="Live sessions">
      <table>
        <thead>
          <tr>
            <th scope="col">Label</th>
            <th scope="col">Environment</th>
            <th scope="col" class="number">Episode</th>
            <th scope="col" class="number">Step</th>
            <th scope="col" class="number">Reward</th>
            <th scope="col" class="number">Total</th>
            <th scope="col" class="number">Age</th>
            <th scope="col" class="number">Steps/s</th>
          </tr>
        </thead>
        <tbody>
          {sessions.map((one) => (
            <tr key={one.session} onClick={() => watching.follow(one.session)}>
              <td><button type="button" class="link">{nameOf(one)}</button></td>
              <td>{one.environment}</td>
              <td class="number">{one.episode}</td>
              <td class="number">{one.step}</td>
              <td class="number">{one.reward == null ? "–" : readable(Number(one.reward))}</td>
              <td class="number">{totalOf(one)}</td>
              <td class="number">{duration(one.age_s)}</td>
              <td class="number">{readable(one.steps_per_s ?? 0, 3)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Followed({ watching, problem }: Shown) {
  const summary = watching.sessions.value.get(watching.followed.value!);
  const trace = watching.trace.value;
  return (
    <main class="panes">
      <section class="card" aria-label="Session">
        <div class="row">
          <button type="button" class="small" onClick={() => watching.leave()}>‹ All sessions</button>
          <h2>{summary ? nameOf(summary) : "Session"}</h2>
        </div>
        {problem}
        {watching.hasEnded.value && <p class="badge end">This session has ended</p>}
        {summary && (
          <dl class="summary">
            <dt>Environment</dt><dd>{summary.environment}</dd>
            <dt>Episode</dt><dd>{summary.episode}{summary.episode_id && ` (${summary.episode_id})`}</dd>
            <dt>Age</dt><dd>{duration(summary.age_s)}</dd>
            <dt>Speed</dt><dd>{readable(summary.steps_per_s ?? 0, 3)} steps/s</dd>
          </dl>
        )}
        <p class="note">You only look on: what is played here is not slowed by it, and steps may be skipped.</p>
      </section>
      {trace.length.value ? (
        <Episode trace={trace} isLive />
      ) : (
        <section class="card stage welcome" aria-label="View"><p>Waiting for the next step.</p></section>
      )}
    </main>
  );
}
