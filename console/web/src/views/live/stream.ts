// The live stream: rows as they are decided, counts twice a second. Rows are shown in batches, at most ten times a second.
import { computed, onScopeDispose, ref, shallowRef, watch } from 'vue';
import { address, api } from '@/api';

export type Verdict = 'kept' | 'problems' | 'rejected';

export interface Row {
  lsn: number;
  index: number;
  recv_ms: number;
  time_ms: number;
  project: string;
  kind: string;
  event: string;
  user: string;
  sdk: string;
  sdk_version: string;
  app_version: string;
  ip: string;
  verdict: Verdict;
  duplicate: boolean;
  codes: string[];
  raw: boolean;
  past: boolean;
}
export interface Second {
  at: number;
  good: number;
  problems: number;
  rejected: number;
}
interface Tick {
  seconds: Second[];
  good: number;
  problems: number;
  rejected: number;
  shown: number;
  left_out: number;
  dropped: number;
  sample_every: number;
}
export type Counts = Omit<Tick, 'seconds'>;

/** Rows kept in the page. */
const ROWS_MAX = 500;
/** Seconds of the histogram. */
const SECONDS = 1800;
const NOTHING: Counts = {
  good: 0,
  problems: 0,
  rejected: 0,
  shown: 0,
  left_out: 0,
  dropped: 0,
  sample_every: 0,
};

export const keyOf = (row: Pick<Row, 'lsn' | 'index'>) => `${row.lsn}-${row.index}`;

/** Listens while the page is open; a change of the query opens a new stream. */
export function useStream(query: () => Record<string, string>) {
  const rows = shallowRef<Row[]>([]);
  const held = shallowRef<Row[]>([]);
  const seconds = shallowRef<Map<number, Second>>(new Map());
  const counts = ref<Counts>({ ...NOTHING });
  const state = ref<'connecting' | 'open' | 'closed'>('connecting');
  const problem = shallowRef<Error | null>(null);
  const paused = ref(false);
  let source: EventSource | undefined;
  let fresh: Row[] = [];
  let dropped = 0;

  const join = (to: Row[], more: Row[]) => {
    const known = new Set(to.map(keyOf));
    return [...more.filter((row) => !known.has(keyOf(row))).reverse(), ...to].slice(0, ROWS_MAX);
  };
  const flush = () => {
    if (!fresh.length) return;
    const into = paused.value ? held : rows;
    into.value = join(into.value, fresh);
    fresh = [];
  };
  const learn = (more: Second[]) => {
    const now = new Map(seconds.value);
    for (const second of more) now.set(second.at, second);
    const oldest = Math.floor(Date.now() / 1000) - SECONDS - 60;
    for (const at of now.keys()) if (at < oldest) now.delete(at);
    seconds.value = now;
  };
  const count = (tick: Tick) => {
    const was = counts.value;
    counts.value = {
      good: was.good + tick.good,
      problems: was.problems + tick.problems,
      rejected: was.rejected + tick.rejected,
      shown: was.shown + tick.shown,
      left_out: was.left_out + tick.left_out,
      dropped: dropped + tick.dropped,
      sample_every: tick.sample_every,
    };
    learn(tick.seconds);
  };
  const open = () => {
    source?.close();
    state.value = 'connecting';
    problem.value = null;
    dropped = counts.value.dropped;
    source = new EventSource(address('live/stream', query()));
    source.addEventListener('open', () => {
      state.value = 'open';
      problem.value = null;
    });
    source.addEventListener('event', (message) => fresh.push(JSON.parse(message.data) as Row));
    source.addEventListener('tick', (message) => count(JSON.parse(message.data) as Tick));
    source.addEventListener('error', () => {
      const ended = source?.readyState === EventSource.CLOSED;
      state.value = ended ? 'closed' : 'connecting';
      if (ended) void why();
    });
  };
  // An event source does not say why it was refused; a plain request does.
  const why = async () => {
    const stop = new AbortController();
    try {
      const timer = setTimeout(() => stop.abort(), 1500);
      await api('live/stream', { query: query(), signal: stop.signal });
      clearTimeout(timer);
    } catch (error) {
      if (!stop.signal.aborted) problem.value = error as Error;
    }
  };
  const clear = () => {
    rows.value = [];
    held.value = [];
    fresh = [];
    counts.value = { ...NOTHING };
    dropped = 0;
  };
  const timer = setInterval(flush, 100);
  watch(
    () => JSON.stringify(query()),
    () => {
      rows.value = [];
      held.value = [];
      fresh = [];
      counts.value = { ...NOTHING };
      open();
    },
  );
  watch(paused, (is) => {
    if (is) return;
    rows.value = join(rows.value, [...held.value].reverse());
    held.value = [];
  });
  onScopeDispose(() => {
    clearInterval(timer);
    source?.close();
  });
  void api<Second[]>('live/seconds').then(learn, () => undefined);
  open();
  const waiting = computed(() => held.value.length);
  return { rows, seconds, counts, state, problem, paused, waiting, clear, open };
}
