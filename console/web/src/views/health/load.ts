// What a page reads again while it is open.
import { onScopeDispose, ref, shallowRef, watch, type Ref } from 'vue';
import { api, isAbort, useAbort, type Ask } from '@/api';
import type { Cell, Part } from '@/report';

export interface Loaded<T> {
  data: Ref<T | null>;
  error: Ref<Error | null>;
  loading: Ref<boolean>;
  reload: () => Promise<void>;
}

/** Reads `path` now, when its query changes, and every `every` ms while the page is in sight. */
export function useLoad<T>(path: () => string | null, query: () => Ask['query'], every = 0): Loaded<T> {
  const data = shallowRef<T | null>(null);
  const error = shallowRef<Error | null>(null);
  const loading = ref(false);
  const abort = useAbort();
  async function reload() {
    const where = path();
    if (!where) return;
    loading.value = true;
    try {
      data.value = await api<T>(where, { query: query(), signal: abort.renew() });
      error.value = null;
      loading.value = false;
    } catch (problem) {
      if (isAbort(problem)) return;
      error.value = problem as Error;
      loading.value = false;
    }
  }
  watch([path, () => JSON.stringify(query())], () => void reload(), { immediate: true });
  if (every) {
    const timer = setInterval(() => document.visibilityState === 'visible' && void reload(), every);
    onScopeDispose(() => clearInterval(timer));
  }
  return { data, error, loading, reload };
}

/** Objects as the part of a report, so that the table of reports can show them. */
export function part<T extends object>(rows: T[], names: string[], numbers: string[] = []): Part {
  return {
    columns: names.map((name) => ({ name, type: numbers.includes(name) ? 'UInt64' : 'String' })),
    rows: rows.map((row) => names.map((name) => (row as Record<string, Cell>)[name] ?? null)),
  };
}

/** `$lib` as people call it. */
export function platform(lib: string, t: (key: string) => string): string {
  const known = ['js', 'Android', 'iOS', 'MiniProgram', 'HarmonyOS'];
  return known.includes(lib) ? t(`health.platform.${lib}`) : lib || t('health.unnamed');
}
