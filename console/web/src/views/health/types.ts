// What `/api/health/…` answers.

export interface Numbers {
  received: number;
  kept: number;
  problems: number;
  rejected: number;
  duplicates: number;
  redriven: number;
}
export interface EventLine {
  event: string;
  zh: string;
  en: string;
  lib: string;
  lib_version: string;
  app_version: string;
  today: Numbers;
  week: Numbers;
  trend: number[];
  trend_rejected: number[];
  first_ms: number;
  last_ms: number;
  sample: [number, number];
}
export interface Events {
  since_ms: number;
  until_ms: number;
  projects: string[];
  rows: EventLine[];
  today: Numbers;
  week: Numbers;
  trend: number[];
  trend_rejected: number[];
}
export interface Words {
  wrong: string;
  fix: string;
  did: string;
}
export interface About {
  severity?: 'reject' | 'drop' | 'warn';
  limit?: string | null;
  zh?: Words;
  en?: Words;
}
export interface CodeLine {
  code: string;
  event: string;
  event_zh: string;
  event_en: string;
  lib: string;
  place: string;
  versions: [string, number][];
  today: number;
  week: number;
  trend: number[];
  of: number;
  first_ms: number;
  last_ms: number;
  new_in: string | null;
  sample: [number, number];
  rejected: boolean;
  about: About;
}
export interface TypeLine {
  property: string;
  zh: string;
  en: string;
  scope: 'event' | 'user' | 'item';
  platforms: { lib: string; kind: string; count: number; events: string[] }[];
  last_ms: number;
}
export interface Group {
  code: string;
  event: string;
  sdk: string;
  open: number;
  first_ms: number;
  last_ms: number;
  sample: [number, number];
  about: About;
}
export interface Sample {
  event: string;
  user: string;
  sdk: string;
  sdk_version?: string;
  app_version?: string;
  recv_ms: number;
  json: string;
  raw?: string;
  codes: { code: string; pointer: string; detail: string; about?: About }[];
}
