// What the API tells of one event.
import type { Text } from '@/i18n';
import type { Row } from './stream';

export interface Property {
  name: string;
  place: 'event' | 'properties';
  value: unknown;
  type: string;
  expected: string | null;
  rule: 'bad' | 'warn' | 'type' | 'preset' | 'own';
  codes: string[];
}
export interface Stored {
  sink: string;
  state: 'stored' | 'waiting' | 'none';
  lag_ms: number;
  places: [string, string][];
}
export interface Detail {
  row: Row;
  sent: {
    method: string;
    parameter: string;
    packing: string;
    path: string;
    ip: string;
    agent: string;
    wire_bytes: number;
    raw_bytes: number | null;
    events: number;
    crc: 'ok' | 'differs';
  };
  understood: {
    properties: Property[];
    messages: (Text & { code: string; pointer: string; severity: 'reject' | 'drop' | 'warn' })[];
    time: { sent_ms: number | null; time_ms: number; recv_ms: number };
  };
  stored: { identity: string; node: string; sinks: Stored[] };
  json: string;
  complete: boolean;
}
export interface Raw {
  text: string;
  bytes: number;
  cut?: boolean;
  headers?: [string, string][];
  parameters?: { place: string; name: string; value: string; bytes: number }[];
  crc?: { sent: string | null; state: 'none' | 'ok' | 'differs' };
  decoded?: string[];
  curl?: string;
  golden?: string;
}
export interface Answer {
  status: number;
  body: string;
  to: string;
}

/** Indented, digits of large numbers untouched; what is no JSON stays as it is. */
export function pretty(text: string): string {
  let out = '';
  let depth = 0;
  let inside = false;
  const line = () => `\n${'  '.repeat(depth)}`;
  for (let at = 0; at < text.length; at += 1) {
    const c = text[at];
    if (inside) {
      out += c;
      if (c === '\\') out += text[(at += 1)] ?? '';
      else if (c === '"') inside = false;
    } else if (c === '"') {
      inside = true;
      out += c;
    } else if (c === '{' || c === '[') {
      const empty = text[at + 1] === (c === '{' ? '}' : ']');
      depth += empty ? 0 : 1;
      out += empty ? c : c + line();
    } else if (c === '}' || c === ']') {
      const empty = text[at - 1] === (c === '}' ? '{' : '[');
      depth = Math.max(0, depth - (empty ? 0 : 1));
      out += empty ? c : line() + c;
    } else if (c === ',') out += c + line();
    else if (c === ':') out += ': ';
    else if (!/\s/.test(c)) out += c;
  }
  return out;
}
