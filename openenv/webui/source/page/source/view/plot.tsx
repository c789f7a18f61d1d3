// The reward of each step as bars and their sum as a line.

import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import type { Entry } from "../trace";
import { readable } from "../values";
import { theme } from "../theme";

const HEIGHT = 150;

export function RewardPlot({ entries, cursor }: { entries: Entry[]; cursor: number }) {
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);

  useEffect(() => {
    const element = host.current!;
    const open = () => new uPlot(optionsFor(element), [[], [], []], element);
    plot.current = open();
    const sizes = new ResizeObserver(() => {
      plot.current?.setSize({ width: element.clientWidth, height: HEIGHT });
    });
    sizes.observe(element);
    return () => {
      sizes.disconnect();
      plot.current?.destroy();
    };
  }, [theme.value]);

  useEffect(() => {
    const steps = entries.filter((entry) => entry.kind === "step");
    plot.current?.setData([
      steps.map((entry) => entry.step),
      steps.map((entry) => drawable(Number(entry.reward ?? 0))),
      steps.map((entry) => drawable(entry.total)),
    ]);
  }, [entries.length, entries[0], theme.value]);

  const total = entries[cursor]?.total ?? 0;
  return (
    <div
      ref={host}
      class="plot"
      role="img"
      aria-label={`Plot of the rewards of ${Math.max(entries.length - 1, 0)} steps; total ${readable(total)}`}
    />
  );
}

/** There is no place for NaN and the infinities. */
const drawable = (number: number) => (Number.isFinite(number) ? number : null);

function optionsFor(element: HTMLElement): uPlot.Options {
  const colour = (name: string) => getComputedStyle(element).getPropertyValue(name).trim();
  const [text, grid, reward, total] = ["--faint", "--line", "--plot-reward", "--plot-total"].map(colour);
  const axis = { stroke: text, grid: { stroke: grid, width: 1 }, ticks: { show: false }, font: "11px system-ui" };
  return {
    width: element.clientWidth || 300,
    height: HEIGHT,
    legend: { show: false },
    cursor: { y: false, points: { size: 6 }, drag: { x: false, y: false } },
    scales: { x: { time: false, range: stepsRange } },
    axes: [{ ...axis, size: 24, incrs: [1, 2, 5, 10, 20, 50, 100, 500, 1000, 10_000] }, { ...axis, size: 44 }],
    series: [
      {},
      { label: "reward", stroke: reward, fill: reward, paths: uPlot.paths.bars!({ size: [0.7, 24] }), points: { show: false } },
      { label: "total", stroke: total, width: 2, points: { show: false } },
    ],
  };
}

/** Whole steps, with room for the bars at both ends. */
const stepsRange = (_: uPlot, low: number | null, high: number | null): [number, number] => [
  Math.max((low ?? 1) - 0.6, 0),
  (high ?? 10) + 0.6,
];
