// The dictionary: names on the wire with names people understand. The console searches both languages.
import { ref } from 'vue';
import { api } from './api';
import { language } from './i18n';
import type { Kind } from './report';
import { project } from './session';

export interface Item {
  name: string;
  zh: string;
  en: string;
  /** Of a property: how a condition names it. */
  kind: Kind;
  type: string;
  preset: boolean;
  scope: 'event' | 'user' | 'item';
  count: number;
}
type What = 'events' | 'properties';
const known: Record<What, Map<string, Item>> = { events: new Map(), properties: new Map() };
/** Changes when names were learnt, so that what shows them follows. */
const learnt = ref(0);
const whole = new Map<string, Promise<void>>();

/** Searches events or properties; learns their names. */
export async function search(
  what: What,
  q: string,
  options: { event?: string; scope?: string; signal?: AbortSignal; limit?: number } = {},
): Promise<Item[]> {
  const { signal, ...rest } = options;
  const query = { project: project.value, q, ...rest };
  const { items } = await api<{ items: Item[] }>(`dictionary/${what}`, { query, signal });
  for (const item of items) known[what].set(item.name, item);
  learnt.value += 1;
  return items;
}

/** Reads the names once a project, for pages that show names they did not pick. */
export function learn(): void {
  const key = project.value;
  if (whole.has(key)) return;
  const all = Promise.all([search('events', '', { limit: 2000 }), search('properties', '', { limit: 2000 })]);
  whole.set(
    key,
    all.then(
      () => undefined,
      () => void whole.delete(key),
    ),
  );
}

/** The name in the language of the page, else the name on the wire. */
export function nameOf(what: What, name: string): string {
  void learnt.value;
  const item = known[what].get(name);
  if (!item) return name;
  return (language.value === 'zh' ? item.zh : item.en) || item.zh || item.en || name;
}
export const eventName = (name: string) => nameOf('events', name);
export const propertyName = (name: string) => nameOf('properties', name);
