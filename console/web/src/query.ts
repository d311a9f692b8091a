// Deep links: the state of a page lives in its address (`?q=` holds JSON of what differs from the defaults).
import { nextTick, onScopeDispose, reactive, watch } from 'vue';
import { useRoute, useRouter } from 'vue-router';

const copy = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T;
const same = (a: unknown, b: unknown) => JSON.stringify(a) === JSON.stringify(b);

function parse(text: unknown): Record<string, unknown> {
  if (typeof text !== 'string' || !text) return {};
  try {
    const got: unknown = JSON.parse(text);
    return got && typeof got === 'object' && !Array.isArray(got) ? (got as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

/** Only what the defaults know, with the kind of value they have: an address is hostile input. */
function known<T extends object>(defaults: T, got: Record<string, unknown>): Partial<T> {
  const out: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(defaults)) {
    const given = got[key];
    if (given === undefined) continue;
    if (value === null || (typeof given === typeof value && Array.isArray(given) === Array.isArray(value))) {
      out[key] = given;
    }
  }
  return out as Partial<T>;
}

/** Reactive state of a page, kept in `?q=`: changes replace the address, back and forward change the state. */
export function useQueryState<T extends object>(defaults: T, name = 'q'): T {
  const route = useRoute();
  const router = useRouter();
  const path = route.path;
  const read = () => ({ ...copy(defaults), ...known(defaults, parse(route.query[name])) });
  const state = reactive(read()) as T;
  let live = true;
  onScopeDispose(() => (live = false));

  watch(
    () => copy(state),
    async (now) => {
      const changed = Object.fromEntries(
        Object.entries(now).filter(
          ([key, value]) => !same(value, (defaults as Record<string, unknown>)[key]),
        ),
      );
      const text = Object.keys(changed).length ? JSON.stringify(changed) : undefined;
      await nextTick();
      if (!live || route.path !== path || (route.query[name] ?? undefined) === text) return;
      void router.replace({ query: { ...route.query, [name]: text }, hash: route.hash });
    },
    { deep: true },
  );
  watch(
    () => route.query[name],
    () => {
      if (!live || route.path !== path) return;
      const wanted = read();
      if (!same(wanted, state)) Object.assign(state, wanted);
    },
  );
  return state;
}

/** The address of a page in a given state, for links from one page to another. */
export function linkTo(path: string, state: object): { path: string; query: { q: string } } {
  return { path, query: { q: JSON.stringify(state) } };
}
