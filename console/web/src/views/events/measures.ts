// Measures of event analysis: what is asked, and how its rows become lines.
import type { Series } from '@/components/ReportChart.vue';
import { conditions, type Cell, type Field, type Filter } from '@/report';

export interface Measure {
  event: string;
  measure: string;
  property: Field | null;
  filter: Filter | null;
}
export const HOWS = [
  'count',
  'users',
  'per_user',
  'sum',
  'avg',
  'min',
  'max',
  'p50',
  'p90',
  'p95',
  'p99',
  'with',
  'distinct',
] as const;
export const needsProperty = (how: string): boolean => !['count', 'users', 'per_user'].includes(how);

/** The measures that are complete, as the API takes them. */
export function sent(measures: Measure[]): object[] {
  return measures
    .filter((one) => one.event && (!needsProperty(one.measure) || one.property))
    .map((one) => ({
      event: one.event,
      measure: one.measure,
      ...(needsProperty(one.measure) ? { property: one.property } : {}),
      ...(conditions(one.filter).length ? { filter: one.filter } : {}),
    }));
}

/** Lines in one picture: more cannot be told apart. */
const LINES_MAX = 12;

/** Rows of (bucket, groups…, measures…) as one line a group and measure, the largest first. */
export function lines(
  rows: Record<string, Cell>[],
  titles: [string, string][],
  groups: string[],
  unknown: string,
): { labels: string[]; series: Series[]; more: number } {
  const labels = [...new Set(rows.map((row) => String(row.bucket)))].sort();
  const place = new Map(labels.map((label, at) => [label, at]));
  const found = new Map<string, { line: Series; sum: number }>();
  for (const row of rows) {
    const group = groups.map((name) => String(row[name] ?? '') || unknown).join(' / ');
    for (const [name, title] of titles) {
      const key = [name, group].join('\n');
      let one = found.get(key);
      if (!one) {
        const label = group ? (titles.length > 1 ? `${group} · ${title}` : group) : title;
        one = { line: { name: label, values: labels.map(() => null) }, sum: 0 };
        found.set(key, one);
      }
      const value = row[name] === null || row[name] === undefined ? null : Number(row[name]);
      one.line.values[place.get(String(row.bucket)) ?? 0] = value;
      one.sum += Math.abs(value ?? 0);
    }
  }
  const all = [...found.values()].sort((a, b) => b.sum - a.sum);
  const series = all.slice(0, LINES_MAX).map((one) => one.line);
  return { labels, series, more: all.length > LINES_MAX ? all.length : 0 };
}
