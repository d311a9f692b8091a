// Rows of paths as a Sankey: a node is an event at a step, small ones become one.
import type { Cell } from '@/report';

/** Nodes of a step that are drawn by themselves. */
const NODES_MAX = 8;
/** Stands for all others; no event can be called that. */
const OTHER = '\u0000other';

export interface Sankey {
  nodes: { name: string; depth: number }[];
  links: { source: string; target: string; value: number }[];
  other: string;
  /** Whether some were put together. */
  more: boolean;
}

/** The column an event stands in: from the left, or for paths that lead to an event from the right. */
export function sankey(rows: Record<string, Cell>[], backwards: boolean): Sankey {
  const steps = rows.map((row) => Number(row.step));
  const last = Math.max(0, ...steps);
  const place = (step: number) => (backwards ? last - step : step - 1);
  const sizes = new Map<number, Map<string, number>>();
  const grow = (column: number, name: string, by: number) => {
    const of = sizes.get(column) ?? new Map<string, number>();
    sizes.set(column, of.set(name, (of.get(name) ?? 0) + by));
  };
  for (const row of rows) {
    const column = place(Number(row.step));
    grow(column, String(row.source), Number(row.times));
    grow(column + 1, String(row.target), Number(row.times));
  }
  const kept = new Map(
    [...sizes].map(([column, of]) => {
      const large = [...of].sort((a, b) => b[1] - a[1]).slice(0, NODES_MAX);
      return [column, new Set(large.map(([name]) => name))];
    }),
  );
  const id = (column: number, name: string) => `${column}\n${kept.get(column)?.has(name) ? name : OTHER}`;
  const links = new Map<string, { source: string; target: string; value: number }>();
  for (const row of rows) {
    const column = place(Number(row.step));
    const source = id(column, String(row.source));
    const target = id(column + 1, String(row.target));
    const key = `${source}\r${target}`;
    const link = links.get(key) ?? { source, target, value: 0 };
    link.value += Number(row.times);
    links.set(key, link);
  }
  const nodes = new Set([...links.values()].flatMap((link) => [link.source, link.target]));
  return {
    nodes: [...nodes].map((name) => ({ name, depth: Number(name.slice(0, name.indexOf('\n'))) })),
    links: [...links.values()],
    other: OTHER,
    more: [...sizes.values()].some((of) => of.size > NODES_MAX),
  };
}
