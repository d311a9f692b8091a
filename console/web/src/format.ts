// Numbers, shares, durations and times as people read them.
import { language } from './i18n';
import { session } from './session';

const locale = () => (language.value === 'zh' ? 'zh-CN' : 'en-GB');

/** What stands where nothing is known: never a zero. */
export const NONE = '—';

/** 1,234 or 3.14. */
export function number(value: unknown, digits = 2): string {
  if (value === null || value === undefined || value === '') return NONE;
  const text = String(value);
  // 64-bit numbers come as text and may not lose digits.
  if (/^-?\d{16,}$/.test(text)) return BigInt(text).toLocaleString(locale());
  const number = Number(text);
  return Number.isFinite(number) ? number.toLocaleString(locale(), { maximumFractionDigits: digits }) : NONE;
}

/** 1.2 万 or 12 k: for axes and cards. */
export function compact(value: number): string {
  return new Intl.NumberFormat(locale(), { notation: 'compact', maximumFractionDigits: 1 }).format(value);
}

/** 0.123 as 12.3%. */
export function percent(value: unknown, digits = 1): string {
  const number = Number(value);
  if (value === null || value === undefined || value === '' || !Number.isFinite(number)) return NONE;
  return `${(number * 100).toFixed(digits)}%`;
}

/** Seconds as 1:02:03, or 3.4 s below a minute. */
export function seconds(value: unknown): string {
  const number = Number(value);
  if (value === null || value === undefined || value === '' || !Number.isFinite(number)) return NONE;
  if (Math.abs(number) < 60) return `${Number(number.toFixed(1))} s`;
  const whole = Math.round(number);
  const two = (part: number) => String(part).padStart(2, '0');
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60), whole % 60];
  if (hours >= 24) return `${Math.floor(hours / 24)}d ${hours % 24}h`;
  return hours ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

/** Bytes as 1.2 MB. */
export function bytes(value: number): string {
  if (!Number.isFinite(value)) return NONE;
  const units = ['B', 'KB', 'MB', 'GB', 'TB'];
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${Number(value.toFixed(1))} ${units[unit]}`;
}

function part(ms: number, options: Intl.DateTimeFormatOptions): string {
  if (!ms) return NONE;
  try {
    return new Intl.DateTimeFormat('sv-SE', { ...options, timeZone: session.timezone || undefined }).format(
      ms,
    );
  } catch {
    return new Intl.DateTimeFormat('sv-SE', options).format(ms);
  }
}

/** 14:03:12 in the time zone of the project. */
export const clock = (ms: number) => part(ms, { hour: '2-digit', minute: '2-digit', second: '2-digit' });
/** 2026-05-20 14:03:12 in the time zone of the project. */
export const moment = (ms: number) => part(ms, { dateStyle: 'short', timeStyle: 'medium' });
/** 2026-05-20 in the time zone of the project. */
export const day = (ms: number) => part(ms, { year: 'numeric', month: '2-digit', day: '2-digit' });

/** The day `days` after a YYYY-MM-DD. */
export function addDays(date: string, days: number): string {
  return new Date(Date.parse(`${date}T00:00:00Z`) + days * 86_400_000).toISOString().slice(0, 10);
}
/** Today in the time zone of the project. */
export const today = () => day(Date.now());
