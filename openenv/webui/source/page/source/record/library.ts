// The recordings that were opened, and the episode of one that is looked at.

import { signal } from "@preact/signals";
import { below } from "../config";
import type { Trace } from "../trace";
import { readRecording, traceOf, type Episode } from "./recording";

export class Library {
  readonly name = signal<string | null>(null);
  readonly episodes = signal<Episode[]>([]);
  readonly chosen = signal(0);
  readonly trace = signal<Trace | null>(null);
  readonly isReading = signal(false);
  readonly problem = signal<string | null>(null);

  async open(file: File): Promise<void> {
    await this.take(file.name, () => Promise.resolve(file));
  }

  /** Open the one that the server offers. */
  async load(path: string, name: string): Promise<void> {
    await this.take(name, async () => {
      const response = await fetch(below(path));
      if (!response.ok) throw new Error(`The server did not send it: ${response.status} ${response.statusText}`);
      return response.blob();
    });
  }

  async choose(index: number): Promise<void> {
    const episode = this.episodes.value[index];
    if (!episode) return;
    this.chosen.value = index;
    const trace = await traceOf(episode);
    // Another one may have been chosen meanwhile.
    if (this.episodes.value[this.chosen.value] !== episode) return;
    trace.chosen.value = 0;
    this.trace.value = trace;
  }

  /** The first episode is shown as soon as it is read: a recording may be large. */
  private async take(name: string, read: () => Promise<Blob>): Promise<void> {
    this.problem.value = null;
    this.isReading.value = true;
    let episodes: Episode[] = [];
    try {
      for await (const episode of readRecording(await read())) {
        // Another file may have been opened meanwhile.
        if (episodes.length && this.episodes.value !== episodes) return;
        this.episodes.value = episodes = [...episodes, episode];
        if (episodes.length > 1) continue;
        this.name.value = name;
        await this.choose(0);
      }
    } catch (error) {
      this.problem.value = `${name} could not be opened. ${(error as Error).message}`;
    } finally {
      this.isReading.value = false;
    }
  }
}
