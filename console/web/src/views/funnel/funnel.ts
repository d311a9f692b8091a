// A funnel's row as steps: how many get to each, and how many of the step before and of the first that is.
import type { Cell } from '@/report';

export const UNITS = ['minute', 'hour', 'day'] as const;
export type WindowUnit = (typeof UNITS)[number];
const UNIT_MS: Record<WindowUnit, number> = { minute: 60_000, hour: 3_600_000, day: 86_400_000 };
/** The longest window the report takes. */
const WINDOW_MAX_MS = 366 * UNIT_MS.day;
export const ms = (count: number, unit: WindowUnit): number =>
  Math.min(WINDOW_MAX_MS, Math.max(1, Math.round(count)) * (UNIT_MS[unit] ?? UNIT_MS.day));

export interface FunnelStep {
  name: string;
  users: number;
  /** Of the step before; null for the first, or where nobody got there. */
  rate: number | null;
  /** Of the first step. */
  total: number | null;
  dropped: number;
  /** Median seconds from the step before. */
  seconds: number | null;
}
export interface Funnel {
  users: number;
  still: number;
  steps: FunnelStep[];
}

const share = (part: number, whole: number) => (whole ? part / whole : null);

export function funnelOf(row: Record<string, Cell> | undefined, names: string[]): Funnel {
  const reached = ((row?.reached as Cell[] | undefined) ?? []).map(Number);
  const seconds = (row?.seconds as Cell[] | undefined) ?? [];
  const steps = reached.map((users, at) => ({
    name: names[at] ?? '',
    users,
    rate: at ? share(users, reached[at - 1]) : null,
    total: share(users, reached[0]),
    dropped: at ? reached[at - 1] - users : 0,
    seconds: at && seconds[at - 1] !== null && seconds[at - 1] !== undefined ? Number(seconds[at - 1]) : null,
  }));
  return { users: Number(row?.users ?? 0), still: Number(row?.still ?? 0), steps };
}
