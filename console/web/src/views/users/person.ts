// One person: warnings about their ids, visits of their events.
import type { Cell } from '@/report';

export type Line = Record<string, Cell>;

/** Ids an app sends when it has none. */
const PLACEHOLDERS = [
  'null',
  'undefined',
  'none',
  'nil',
  'nan',
  'unknown',
  '0',
  '-1',
  'test',
  'guest',
  'anonymous',
];
/** People on one device from which on it is no household any more. */
const SHARED = 3;

export interface Warning {
  key: 'placeholder' | 'shared' | 'loginIsDevice';
  id: string;
  n: number;
}

/** What is wrong with a person's ids. */
export function warnings(ids: Line[], shared: Line[]): Warning[] {
  const found: Warning[] = [];
  const of = (kind: string) => ids.filter((one) => one.kind === kind).map((one) => String(one.id));
  const is = (id: string) => PLACEHOLDERS.includes(id.toLowerCase()) || /^[0-]+$/.test(id);
  for (const id of new Set(ids.map((one) => String(one.id)))) {
    if (is(id)) found.push({ key: 'placeholder', id, n: 0 });
  }
  const devices = new Set([...of('device_id'), ...of('anonymous_id')]);
  for (const id of new Set(of('login_id'))) {
    if (devices.has(id)) found.push({ key: 'loginIsDevice', id, n: 0 });
  }
  for (const one of shared) {
    const n = Math.max(Number(one.logins), Number(one.people));
    if (n >= SHARED) found.push({ key: 'shared', id: String(one.device), n });
  }
  return found;
}

export interface Visit {
  /** Empty: events of servers, in no visit. */
  key: string;
  start: number;
  end: number;
  events: Line[];
}

/** Events, newest first, in their visits; runs of server events stand where they happened. */
export function visits(rows: Line[]): Visit[] {
  const found = new Map<string, Visit>();
  let loose = 0;
  let before = '';
  for (const row of rows) {
    const own = String(row.visit);
    if (!own && before) loose += 1;
    before = own;
    const key = own || `server${loose}`;
    const ms = Number(row.time_ms);
    const visit = found.get(key) ?? { key: own, start: ms, end: ms, events: [] };
    visit.start = Math.min(visit.start, ms);
    visit.end = Math.max(visit.end, ms);
    visit.events.push(row);
    found.set(key, visit);
  }
  return [...found.values()].sort((a, b) => b.end - a.end);
}

/** An event as it is stored, for eyes: every property in one object. */
export function json(row: Line): string {
  const read = (name: string): object => {
    try {
      return JSON.parse(String(row[name] || '{}')) as object;
    } catch {
      return {};
    }
  };
  const { time_ms, event, distinct_id, login_id, device, node, lsn, idx, codes } = row;
  const properties = { ...read('presets'), ...read('str'), ...read('num'), ...read('arr') };
  return JSON.stringify(
    { event, time: time_ms, distinct_id, login_id, device, properties, node, lsn, idx, codes },
    null,
    2,
  );
}
