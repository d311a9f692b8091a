// Saved segments and tags.
import { onMounted, reactive, ref, watch } from 'vue';
import { api, complain } from '@/api';
import type { Filter } from '@/report';
import { project } from '@/session';

/** A condition of a segment, as `analytics` reads it. */
export interface Rule {
  and?: Rule[];
  or?: Rule[];
  not?: Rule;
  did?: string;
  did_not?: string;
  at_least?: number;
  at_most?: number;
  window?: string;
  filter?: Filter;
  profile?: Filter | string;
  sequence?: { event: string; filter?: Filter }[];
  within?: string;
  tag?: string;
  values?: string[];
  segment?: string;
  [more: string]: unknown;
}
export interface Saved {
  name: string;
  item: { name: string; rule?: Rule; [more: string]: unknown };
  by: string;
  toml: string;
}

/** The project's rules, read once and again when asked. */
export function useRules() {
  const rules = reactive<{ segments: Saved[]; tags: Saved[] }>({ segments: [], tags: [] });
  const ready = ref(false);
  async function reload() {
    try {
      Object.assign(rules, await api('segments', { query: { project: project.value } }));
    } catch (error) {
      complain(error);
    }
    ready.value = true;
  }
  onMounted(reload);
  watch(project, reload);
  return { rules, ready, reload };
}

/** Saves what is written. */
export const save = (body: { toml?: string; segment?: unknown }) =>
  api<{ saved: string[] }>('segments', { method: 'POST', body: { project: project.value, ...body } });
export const remove = (kind: 'segment' | 'tag', name: string) =>
  api(`segments/${kind}/${encodeURIComponent(name)}`, {
    method: 'DELETE',
    query: { project: project.value },
  });
