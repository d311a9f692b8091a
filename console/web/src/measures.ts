// The measures of traffic: how each is written, in which direction it is better. Words are `measure.<name>` and `measure.about.<name>`.
import { addDays, number, percent, seconds } from './format';
import type { Cell, Condition, Params, Range } from './report';

export interface Measure {
  name: string;
  format: 'number' | 'percent' | 'seconds';
  /** More is better (1), worse (-1), or neither (0). */
  better: 1 | 0 | -1;
}
export const measures: Measure[] = [
  { name: 'pv', format: 'number', better: 1 },
  { name: 'uv', format: 'number', better: 1 },
  { name: 'active', format: 'number', better: 1 },
  { name: 'visits', format: 'number', better: 1 },
  { name: 'new_users', format: 'number', better: 1 },
  { name: 'bounce_rate', format: 'percent', better: -1 },
  { name: 'duration_per_visit_s', format: 'seconds', better: 1 },
  { name: 'depth', format: 'number', better: 1 },
  { name: 'old_users', format: 'number', better: 0 },
  { name: 'duration_per_user_s', format: 'seconds', better: 1 },
  { name: 'single_event_rate', format: 'percent', better: -1 },
];
export const measureOf = (name: string): Measure =>
  measures.find((one) => one.name === name) ?? { name, format: 'number', better: 0 };

/** A value as its measure is written. */
export function write(name: string, value: Cell | undefined): string {
  const { format } = measureOf(name);
  if (format === 'percent') return percent(value);
  return format === 'seconds' ? seconds(value) : number(value);
}

const DAY_MS = 86_400_000;
/** Days of a range, both ends included. */
export const daysOf = ({ from, to }: Range): number =>
  Math.round((Date.parse(to) - Date.parse(from)) / DAY_MS) + 1;

/** The range another is compared with; null for none. */
export function compared(range: Range, how: string): Range | null {
  const shift = how === 'previous' ? daysOf(range) : how === 'week' ? 7 : how === 'year' ? 365 : 0;
  return shift ? { from: addDays(range.from, -shift), to: addDays(range.to, -shift) } : null;
}

/** What traffic can be limited to without building a filter: platforms. */
export const platforms: { key: string; libs: string[] }[] = [
  { key: 'web', libs: ['js'] },
  { key: 'android', libs: ['Android'] },
  { key: 'ios', libs: ['iOS'] },
  { key: 'wechat', libs: ['MiniProgram'] },
];

/** Parameters of a traffic report, from what its page holds. */
export function trafficParams(state: { range: Range; platform?: string; filter?: Params['filter'] }): Params {
  const libs = platforms.find((one) => one.key === state.platform)?.libs;
  const params: Params = { ...state.range, filter: state.filter };
  if (!libs) return params;
  const platform = { field: '$lib', kind: 'preset' as const, op: 'in' as const, values: libs };
  // A filter of alternatives stands as one condition beside the platform.
  const own = state.filter
    ? 'or' in state.filter
      ? [state.filter as unknown as Condition]
      : state.filter.and
    : [];
  return { ...params, filter: { and: [platform, ...own] } };
}
