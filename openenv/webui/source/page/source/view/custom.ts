// The view that an environment brings: server/web/view.js in its folder.

import { signal } from "@preact/signals";
import { below, type PageConfig } from "../config";
import type { Entry } from "../trace";

export interface ViewInput {
  observation: unknown;
  action: unknown;
  result: { observation: unknown; reward: unknown; done: boolean; truncated: boolean; metadata: unknown };
  previous: unknown;
  state: unknown;
  step: number;
  theme: "light" | "dark";
  /** Take a step; null while watching or replaying. */
  act: ((action: unknown) => void) | null;
  /** What Environment.render() draws; null if there is none, or nobody to ask. */
  render: (() => Promise<Blob>) | null;
}

interface ViewModule {
  default: (element: HTMLElement, input: ViewInput) => void;
  keys?: Record<string, unknown>;
}

/** Loaded once, when the server has one. */
export const viewModule = signal<ViewModule | null>(null);
export const viewProblem = signal<string | null>(null);

export async function loadView({ view }: PageConfig): Promise<void> {
  if (!view) return;
  try {
    const module = (await import(/* @vite-ignore */ below(view).href)) as Partial<ViewModule>;
    if (typeof module.default !== "function") throw new Error("it has no default export that is a function");
    viewModule.value = module as ViewModule;
  } catch (error) {
    viewProblem.value = `The environment's own view could not be loaded: ${(error as Error).message}`;
  }
}

/** Call the view for an entry. What it throws is shown, and the page goes on. */
export function drawView(
  element: HTMLElement,
  { entry, previous, ...rest }: { entry: Entry; previous: Entry | undefined } & Pick<ViewInput, "state" | "theme" | "act" | "render">,
): void {
  const { observation, action, reward, done, truncated, metadata, step } = entry;
  const result = { observation, reward, done, truncated, metadata };
  try {
    viewModule.value?.default(element, { observation, action, result, previous: previous?.observation, step, ...rest });
    viewProblem.value = null;
  } catch (error) {
    viewProblem.value = `The environment's own view failed: ${(error as Error).message}`;
  }
}
