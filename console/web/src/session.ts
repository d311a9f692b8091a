// Who looks, at which project; from `GET /api/session`.
import { computed, reactive, ref, watch } from 'vue';
import { api, ApiError, setActionToken } from './api';
import { suggestLanguage } from './i18n';

export interface Session {
  user: string;
  role: 'view' | 'manage';
  token: string;
  lang: string;
  node: string;
  version: string;
  timezone: string;
  projects: string[];
  receive: string[];
  /** Whether users are set up: without, there is nothing to log in or out of. */
  login: boolean;
  clickhouse: { state?: string; embedded?: boolean; database?: string } | null;
  /** Whether the daemon says it is whole. */
  ready: boolean | null;
  problems: unknown[];
}

const EMPTY: Session = {
  user: '',
  role: 'view',
  token: '',
  lang: '',
  node: '',
  version: '',
  timezone: 'Asia/Shanghai',
  projects: [],
  receive: [],
  login: false,
  clickhouse: null,
  ready: null,
  problems: [],
};

export const session = reactive<Session>({ ...EMPTY });
/** What the session could not be had for: `login`, `offline`, or nothing. */
export const trouble = ref<'' | 'login' | 'offline'>('');
export const canManage = computed(() => session.role === 'manage');

const KEY = 'tusk.project';
/** The project every page looks at. */
export const project = ref(localStorage.getItem(KEY) ?? '');
watch(project, (to) => localStorage.setItem(KEY, to));

/** Reads the session; a one-time key in the address is handed in first. */
export async function loadSession(): Promise<void> {
  try {
    const here = new URL(location.href);
    const key = here.searchParams.get('key');
    if (key && here.pathname === '/') {
      history.replaceState(null, '', '/');
      await api('invited', { method: 'POST', body: { key } }).catch(() => undefined);
    }
    const got = await api<Partial<Session>>('session');
    Object.assign(session, EMPTY, got);
    setActionToken(session.token);
    suggestLanguage(session.lang);
    const asked = here.searchParams.get('project');
    if (asked) project.value = asked;
    if (!project.value || (session.projects.length && !session.projects.includes(project.value))) {
      project.value = session.projects[0] ?? 'default';
    }
    trouble.value = '';
  } catch (error) {
    trouble.value = error instanceof ApiError && error.status === 401 ? 'login' : 'offline';
  }
}

/** Ends the session. */
export async function logout(): Promise<void> {
  await api('logout', { method: 'POST' }).catch(() => undefined);
  location.assign('/login');
}
