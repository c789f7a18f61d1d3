// The recordings that were opened, and the episode of one that is looked at.

import { computed, signal } from "@preact/signals";
import { below } from "../config";
import { readRecording, traceOf, type Episode } from "./recording";

export class Library {
  readonly name = signal<string | null>(null);
  readonly episodes = signal<Episode[]>([]);
  readonly chosen = signal(0);
  readonly problem = signal<string | null>(null);
  readonly trace = computed(() => {
    const episode = this.episodes.value[this.chosen.value];
    if (!episode) return null;
    const trace = traceOf(episode);
    trace.chosen.value = 0;
    return trace;
  });

  async open(file: File): Promise<void> {
    await this.take(file.name, () => file.text());
  }

  /** Open the one that the server offers. */
  async load(path: string): Promise<void> {
    await this.take("recording.jsonl", async () => {
      const response = await fetch(below(path));
      if (!response.ok) throw new Error(`The server did not send it: ${response.status} ${response.statusText}`);
      return response.text();
    });
  }

  private async take(name: string, read: () => Promise<string>): Promise<void> {
    this.problem.value = null;
    try {
      const episodes = readRecording(await read());
      this.chosen.value = 0;
      this.episodes.value = episodes;
      this.name.value = name;
    } catch (error) {
      this.problem.value = `${name} could not be opened. ${(error as Error).message}`;
    }
  }
}
