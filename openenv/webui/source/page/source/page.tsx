// The page: what it is of, its tabs, and how the connection is.

import { signal } from "@preact/signals";
import { render } from "preact";
import { AboutPage } from "./about";
import { loadConfig, type PageConfig } from "./config";
import { Desk } from "./play/desk";
import { Play, type Status } from "./play/play";
import { PlayPage } from "./play/play-page";
import { Library } from "./record/library";
import { DropZone, RecordPage } from "./record/record-page";
import { theme, toggleTheme } from "./theme";
import { loadView } from "./view/custom";
import { WatchPage } from "./watch/watch-page";
import "uplot/dist/uPlot.min.css";

const TABS = { play: "Play", watch: "Watch", recordings: "Recordings", about: "About" };
type Tab = keyof typeof TABS;

/** Links in the README lead to #about-NAME: what follows the tab is a place in it. */
const tabOf = (hash: string): Tab => {
  const [name = ""] = hash.slice(1).split("-");
  return Object.hasOwn(TABS, name) ? (name as Tab) : "play";
};
const tab = signal<Tab>(tabOf(location.hash));
addEventListener("hashchange", () => (tab.value = tabOf(location.hash)));

const STATUS: Record<Status, string> = {
  connecting: "Connecting",
  open: "Connected",
  reconnecting: "Reconnecting",
  lost: "Episode lost",
  unreachable: "No connection",
};

function Page({ config, desk, library }: { config: PageConfig; desk: Desk; library: Library }) {
  const title = config.title || config.name;
  // `openenv replay` serves a recording and nothing that could be played.
  if (config.replay) {
    return (
      <>
        <header>
          <h1>{title}</h1>
          <ThemeButton />
        </header>
        <RecordPage library={library} />
        <DropZone library={library} onOpen={() => {}} />
      </>
    );
  }
  return (
    <>
      <Header title={title} desk={desk} />
      {tab.value === "play" && <PlayPage desk={desk} />}
      {tab.value === "watch" && <WatchPage play={desk.play} isAllowed={config.watch} />}
      {tab.value === "recordings" && <RecordPage library={library} />}
      {tab.value === "about" && <AboutPage config={config} />}
      <DropZone library={library} onOpen={() => (location.hash = "recordings")} />
    </>
  );
}

function Header({ title, desk }: { title: string; desk: Desk }) {
  const status = desk.play.status.value;
  return (
    <header>
      <h1>{title}</h1>
      <nav aria-label="Parts of the page">
        {Object.entries(TABS).map(([key, label]) => (
          <a href={`#${key}`} aria-current={tab.value === key ? "page" : undefined}>{label}</a>
        ))}
      </nav>
      <span class={`connection ${status}`} role="status">{STATUS[status]}</span>
      <ThemeButton />
    </header>
  );
}

function ThemeButton() {
  const other = theme.value === "dark" ? "light" : "dark";
  return (
    <button type="button" class="quiet theme" aria-label={`Switch to the ${other} colours`} onClick={toggleTheme}>
      <span aria-hidden="true">{theme.value === "dark" ? "☀" : "☾"}</span>
    </button>
  );
}

async function open(element: HTMLElement): Promise<void> {
  let config: PageConfig;
  try {
    config = await loadConfig();
  } catch (error) {
    element.replaceChildren();
    render(<p class="problem" role="alert">The page could not be loaded: {(error as Error).message}</p>, element);
    return;
  }
  document.title = config.title || config.name;
  const play = new Play();
  const desk = new Desk(config, play);
  const library = new Library();
  element.replaceChildren();
  render(<Page config={config} desk={desk} library={library} />, element);
  void loadView(config);
  if (config.replay) await library.load(config.replay, config.title);
  else await play.start();
}

void open(document.getElementById("page")!);
