// Recorded episodes: a list on the left, the chosen one on the right.

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { FileInput } from "../form/documents";
import { Episode } from "../view/episode";
import { readable } from "../values";
import type { Library } from "./library";

export function RecordPage({ library }: { library: Library }) {
  const { episodes, name, problem, trace, chosen } = library;
  return (
    <main class="panes">
      <section class="card" aria-label="Recording">
        <div class="row">
          <h2>{name.value ?? "Recordings"}</h2>
          <FileInput label="Open a recording" text="Open a file …" accept=".jsonl,.json,.part" onFile={(file) => library.open(file)} />
        </div>
        {problem.value && <p class="problem" role="alert">{problem.value}</p>}
        {episodes.value.length === 0 ? (
          <p class="empty">
            Drop a recording anywhere on this page: what <code>openenv collect --out FILE.jsonl</code> has written, or
            what History has downloaded.
          </p>
        ) : (
          <ol class="episodes">
            {episodes.value.map((episode, index) => (
              <li key={index}>
                <button
                  type="button"
                  class="episode"
                  aria-current={index === chosen.value ? "true" : undefined}
                  onClick={() => void library.choose(index)}
                >
                  <b>Episode {episode.episode}</b>
                  <span>{episode.length} steps</span>
                  <span>return {readable(episode.return)}</span>
                  <span class={`badge ${episode.ended}`}>{episode.ended}</span>
                  {episode.error && <span class="field-error">{episode.error.message}</span>}
                </button>
              </li>
            ))}
          </ol>
        )}
      </section>
      {trace.value ? (
        <Episode key={`${name.value} ${chosen.value}`} trace={trace.value} isLive={false} />
      ) : (
        <section class="card stage welcome" aria-label="View">
          <p>{library.isReading.value ? "Reading the recording …" : "No recording is open."}</p>
        </section>
      )}
    </main>
  );
}

/** The whole page takes files that are dropped on it. */
export function DropZone({ library, onOpen }: { library: Library; onOpen: () => void }) {
  const isOver = useSignal(false);
  useEffect(() => {
    const carriesFiles = (event: DragEvent) => event.dataTransfer?.types.includes("Files") ?? false;
    const over = (event: DragEvent) => {
      if (!carriesFiles(event)) return;
      event.preventDefault();
      isOver.value = true;
    };
    const leave = (event: DragEvent) => {
      if (event.relatedTarget === null) isOver.value = false;
    };
    const drop = (event: DragEvent) => {
      const [file] = event.dataTransfer?.files ?? [];
      isOver.value = false;
      if (!file) return;
      event.preventDefault();
      onOpen();
      void library.open(file);
    };
    addEventListener("dragover", over);
    addEventListener("dragleave", leave);
    addEventListener("drop", drop);
    return () => {
      removeEventListener("dragover", over);
      removeEventListener("dragleave", leave);
      removeEventListener("drop", drop);
    };
  }, [library]);
  return isOver.value ? <div class="drop-zone" aria-hidden="true">Drop the recording here</div> : null;
}
