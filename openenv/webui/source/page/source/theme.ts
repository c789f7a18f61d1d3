// Light or dark: as the system has it, until the visitor chooses.

import { effect, signal } from "@preact/signals";

export type Theme = "light" | "dark";

const KEY = "openenv.theme";
const system = matchMedia("(prefers-color-scheme: dark)");
const chosen = signal(localStorage.getItem(KEY) as Theme | null);
export const theme = signal<Theme>("light");

const follow = () => {
  theme.value = chosen.value ?? (system.matches ? "dark" : "light");
};
system.addEventListener("change", follow);
effect(() => {
  follow();
  document.documentElement.dataset["theme"] = theme.value;
});

export function toggleTheme(): void {
  chosen.value = theme.value === "dark" ? "light" : "dark";
  localStorage.setItem(KEY, chosen.value);
}
