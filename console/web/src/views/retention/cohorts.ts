// Retention's rows as cohorts: one a day, week or month of the start; cells that are not over are not there.
import type { Cell } from '@/report';

export type RetentionUnit = 'day' | 'week' | 'month';
/** Exactly in the nth unit, or at least once up to it. */
export type Mode = 'on' | 'within';
/** Columns where none are asked for. */
export const SPANS: Record<RetentionUnit, number> = { day: 14, week: 8, month: 6 };

export interface CohortCell {
  later: number;
  people: number;
  back: number;
  rate: number;
}
export interface Cohorts {
  columns: number[];
  rows: { start: string; people: number; cells: (CohortCell | null)[] }[];
  mean: CohortCell[];
}

function cell(row: Record<string, Cell>, mode: Mode): CohortCell {
  const later = Number(row.later);
  // Within none of the later units nobody can come back: the first column is the start itself.
  const within = mode === 'within' && later > 0;
  return {
    later,
    people: Number(row.people),
    back: Number(within ? row.within : row.back),
    rate: Number(within ? row.within_rate : row.rate),
  };
}

export function cohorts(
  rows: Record<string, Cell>[],
  mean: Record<string, Cell>[],
  mode: Mode,
  span: number,
): Cohorts {
  const found = new Map<string, Map<number, CohortCell>>();
  for (const row of rows) {
    const start = String(row.start);
    const one = cell(row, mode);
    if (!found.has(start)) found.set(start, new Map());
    found.get(start)?.set(one.later, one);
  }
  const most = Math.min(span, Math.max(0, ...rows.map((row) => Number(row.later))));
  const columns = Array.from({ length: most + 1 }, (_, at) => at);
  return {
    columns,
    rows: [...found].map(([start, cells]) => ({
      start,
      people: cells.get(0)?.people ?? 0,
      cells: columns.map((later) => cells.get(later) ?? null),
    })),
    mean: mean.map((row) => cell(row, mode)),
  };
}
