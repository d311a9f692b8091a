// Recordings as the API tells them, and the expected list as a person writes it.
import type { Text } from '@/i18n';

export interface Expected {
  event: string;
  display: string;
  properties: Record<string, string>;
  optional: boolean;
}
export interface Finding {
  what: string;
  detail: string;
}
export interface Came {
  lsn: number;
  index: number;
  recv_ms: number;
  time_ms: number;
  kind: string;
  event: string;
  user: string;
  sdk: string;
  sdk_version: string;
  app_version: string;
  verdict: string;
  messages: (Text & { code: string })[];
  json: string;
  findings: Finding[];
}
export interface Recording {
  id: string;
  name: string;
  by: string;
  project: string;
  ids: string[];
  started_ms: number;
  stopped_ms: number;
  expected: Expected[];
  ordered: boolean;
  events: Came[];
  left_out: number;
  verdict: { passed: boolean; missing: Expected[]; counts: Record<string, number> };
}
export interface Summary {
  id: string;
  name: string;
  by: string;
  project: string;
  ids: string[];
  started_ms: number;
  stopped_ms: number;
  running: boolean;
  events: number;
  expected: number;
  missing: number;
  passed: boolean;
}

/** Findings that do not make a recording fail. */
const MILD = ['late', 'unexpected', 'problems'];
export const isMild = (finding: Finding) => MILD.includes(finding.what);

/** `PayOrder: order_id, price:number`, one event a line; `?` in front: it may be missing. */
export function parse(text: string): Expected[] {
  const out: Expected[] = [];
  for (const line of text.split('\n')) {
    const found = /^\s*(\?)?\s*([^:：\s]+)\s*(?:[:：](.*))?$/.exec(line);
    if (!found) continue;
    const properties: Record<string, string> = {};
    for (const piece of (found[3] ?? '').split(/[,，]/)) {
      const [name, kind = ''] = piece.split(/[:：]/).map((part) => part.trim());
      if (name) properties[name] = kind;
    }
    out.push({ event: found[2], display: '', properties, optional: found[1] === '?' });
  }
  return out;
}

/** Words separated by commas, blanks or lines. */
export const words = (text: string): string[] => text.split(/[\s,，]+/).filter(Boolean);
