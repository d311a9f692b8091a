// Reports: what they are asked, what they answer, and one that follows its parameters.
import { computed, ref, watch, type Ref } from 'vue';
import { api, isAbort, useAbort } from './api';
import type { Text } from './i18n';
import { project } from './session';

export type Kind = 'str' | 'num' | 'arr' | 'preset';
export type Operator =
  'is' | 'is_not' | 'contains' | 'gt' | 'ge' | 'lt' | 'le' | 'between' | 'set' | 'unset' | 'in';
/** A property: its name on the wire and how it is stored. */
export interface Field {
  field: string;
  kind: Kind;
}
/** What rows are grouped by: a property, or an attribute of the item whose id the property `by` holds. */
export type Group = Field | { field: string; kind: 'item'; by: string; as: 'str' | 'num' };
export interface Condition extends Field {
  op: Operator;
  values: (string | number)[];
  scope?: 'event' | 'user';
}
export type Filter = { and: Condition[] } | { or: Condition[] };
export interface Range {
  from: string;
  to: string;
}
export type Unit = 'hour' | 'day' | 'week' | 'month';
/** Parameters that all reports know; each adds its own. */
export interface Params extends Partial<Range> {
  project?: string;
  filter?: Filter | null;
  segment?: string;
  group_by?: Group[];
  unit?: Unit;
  limit?: number;
  [own: string]: unknown;
}
export interface Column {
  name: string;
  type: string;
}
export type Cell = string | number | boolean | null | Cell[] | { [key: string]: Cell };
export type Row = Cell[];
export interface Part {
  columns: Column[];
  rows: Row[];
}
export interface Answer {
  name: string;
  parts: Record<string, Part>;
  data_until_ms: number;
  elapsed_ms: number;
  rows_read: number;
  approximate: boolean;
}
export interface About {
  name: string;
  title: Text;
  definition: Text;
}

/** Parameters as sent: with the project, without what is empty. */
export function clean(params: Params): Params {
  const out: Params = { project: project.value };
  for (const [key, value] of Object.entries(params)) {
    if (value === undefined || value === null || value === '') continue;
    if (Array.isArray(value) && !value.length) continue;
    if (key === 'filter' && !conditions(value as Filter).length) continue;
    out[key] = value;
  }
  return out;
}

/** Conditions of a filter. */
export function conditions(filter: Filter | null | undefined): Condition[] {
  if (!filter) return [];
  return 'and' in filter ? filter.and : (filter.or ?? []);
}

/** Runs a report once. */
export function runReport(name: string, params: Params, signal?: AbortSignal): Promise<Answer> {
  return api<Answer>(`reports/${name}`, { method: 'POST', body: clean(params), signal });
}

/** Rows of a part as objects by column name. */
export function objects(part: Part | undefined): Record<string, Cell>[] {
  if (!part) return [];
  return part.rows.map((row) =>
    Object.fromEntries(part.columns.map((column, at) => [column.name, row[at] ?? null])),
  );
}

export interface Report {
  data: Ref<Answer | null>;
  loading: Ref<boolean>;
  error: Ref<Error | null>;
  reload: () => Promise<void>;
  part: (name: string) => Part | undefined;
}

/**
 * A report that follows its parameters: asked again when they change, given up when the page goes.
 * `params` returning null means there is nothing to ask yet.
 */
export function useReport(name: string, params: () => Params | null): Report {
  const data = ref<Answer | null>(null) as Ref<Answer | null>;
  const loading = ref(false);
  const error = ref<Error | null>(null);
  const abort = useAbort();
  let asked = '';

  async function reload() {
    const now = params();
    const signal = abort.renew();
    if (!now) {
      data.value = null;
      loading.value = false;
      return;
    }
    loading.value = true;
    error.value = null;
    try {
      data.value = await runReport(name, now, signal);
    } catch (problem) {
      if (isAbort(problem)) return;
      data.value = null;
      error.value = problem as Error;
    }
    loading.value = false;
  }
  watch(
    () => [params(), project.value],
    (now) => {
      const text = JSON.stringify(now);
      if (text === asked) return;
      asked = text;
      void reload();
    },
    { immediate: true, deep: true },
  );
  return { data, loading, error, reload, part: (part) => data.value?.parts[part] };
}

const abouts = ref<Record<string, About>>({});
let asking: Promise<void> | null = null;
/** Title and definition of a report, asked once for all. */
export function useAbout(name: string) {
  asking ??= api<About[] | { reports: About[] }>('reports')
    .then((got) => {
      const list = Array.isArray(got) ? got : got.reports;
      abouts.value = Object.fromEntries(list.map((about) => [about.name, about]));
    })
    .catch(() => {
      asking = null;
    });
  return computed(() => abouts.value[name]);
}
