// The picture of an entry: the environment's own view, what it renders, or what looks like one.

import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import type { Entry } from "../trace";
import { theme } from "../theme";
import { drawView, viewModule, viewProblem, type ViewInput } from "./custom";
import { Drawn, Text } from "./picture";
import { drawingsOf } from "./pixels";

export interface StageProps {
  entry: Entry;
  previous: Entry | undefined;
  state: unknown;
  act: ViewInput["act"];
  render: ViewInput["render"];
}

export function Stage(props: StageProps) {
  const { entry, render } = props;
  const drawings = useMemo(() => drawingsOf(entry.observation), [entry]);
  const hasPicture = drawings.some((one) => one.pixels ?? one.url);
  if (viewModule.value && !entry.isPruned) return <OwnView {...props} />;
  return (
    <>
      {viewProblem.value && <p class="problem" role="alert">{viewProblem.value}</p>}
      {render && !hasPicture && <Rendered entry={entry} render={render} />}
      {drawings.map((drawing) => (
        <Drawn key={drawing.name} drawing={drawing} hasCaption={drawings.length > 1} />
      ))}
      {entry.isPruned && <p class="empty">What was large in this step was let go: there was too much of it.</p>}
    </>
  );
}

function OwnView({ entry, previous, state, act, render }: StageProps) {
  const element = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    drawView(element.current!, { entry, previous, state, act, render, theme: theme.value });
  }, [entry, state, act === null, theme.value]);
  return (
    <>
      {viewProblem.value && <p class="problem" role="alert">{viewProblem.value}</p>}
      <div ref={element} class="own-view" />
    </>
  );
}

/** Environment.render(), asked for after each result. */
function Rendered({ entry, render }: { entry: Entry; render: () => Promise<Blob> }) {
  const [shown, setShown] = useState<{ url?: string; text?: string; error?: string }>({});
  useEffect(() => {
    let isGone = false;
    const show = async () => {
      const blob = await render();
      const isPicture = blob.type.startsWith("image/");
      const next = isPicture ? { url: URL.createObjectURL(blob) } : { text: await blob.text() };
      if (!isGone) setShown(next);
    };
    show().catch((error: Error) => !isGone && setShown({ error: error.message }));
    return () => {
      isGone = true;
    };
  }, [entry]);
  useEffect(() => () => shown.url && URL.revokeObjectURL(shown.url), [shown.url]);
  if (shown.error) return <p class="empty">{shown.error}</p>;
  if (shown.url) return <img class="picture" src={shown.url} alt="rendered by the environment" />;
  return shown.text ? <Text text={shown.text} label="rendered by the environment" /> : null;
}
