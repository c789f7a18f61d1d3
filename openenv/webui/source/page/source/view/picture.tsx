// What can be drawn of an observation: pictures on canvas, boards and texts as they are.

import { useLayoutEffect, useRef } from "preact/hooks";
import type { Drawing, Pixels } from "./pixels";

export function Picture({ pixels, label }: { pixels: Pixels; label: string }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useLayoutEffect(() => {
    const context = canvas.current?.getContext("2d");
    context?.putImageData(new ImageData(pixels.rgba, pixels.width, pixels.height), 0, 0);
  }, [pixels]);
  const isSmall = pixels.width < 512;
  return (
    <canvas
      ref={canvas}
      class={`picture${isSmall ? " pixelated" : ""}`}
      width={pixels.width}
      height={pixels.height}
      role="img"
      aria-label={`${label || "picture"}, ${pixels.width} by ${pixels.height}`}
    />
  );
}

export function Drawn({ drawing, hasCaption }: { drawing: Drawing; hasCaption: boolean }) {
  const { name, pixels, url, text } = drawing;
  return (
    <figure class="drawing">
      {pixels && <Picture pixels={pixels} label={name} />}
      {url && <img class="picture" src={url} alt={name || "picture"} />}
      {text !== undefined && <Text text={text} label={name} />}
      {hasCaption && <figcaption>{name}</figcaption>}
    </figure>
  );
}

export function Text({ text, label }: { text: string; label: string }) {
  const lines = text.trimEnd().split("\n");
  const isShort = lines.length <= 24 && lines.every((line) => line.length <= 40);
  const isBoard = isShort && lines.every((line) => line.length === lines[0]!.length);
  return <pre class={isBoard ? "board" : ""} tabIndex={0} role="group" aria-label={label || "text"}>{text}</pre>;
}
