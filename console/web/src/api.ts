// The console's API: session and action token, errors in both languages, requests that end with their page.
import { ElMessage } from 'element-plus';
import { getCurrentScope, onScopeDispose } from 'vue';
import { pick, type Text } from './i18n';

/** What the API says when it cannot. `message` is in the language of the page. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    readonly text: Text,
  ) {
    super(pick(text));
  }
}

let actionToken = '';
let onUnauthorized: () => void = () => {};

/** Sets the token that actions bring (from the session). */
export function setActionToken(token: string): void {
  actionToken = token;
}

/** Sets what happens when nobody is logged in. */
export function setUnauthorized(then: () => void): void {
  onUnauthorized = then;
}

const OFFLINE: Text = {
  zh: '连不上控制台：tusk 没有运行，或网络不通。启动后会自动恢复',
  en: 'the console does not answer: tusk is not running, or the network is down',
};

async function problem(response: Response): Promise<ApiError> {
  let body: { error?: { code?: string } & Partial<Text> } = {};
  try {
    body = await response.json();
  } catch {
    body = {};
  }
  const error = body.error ?? {};
  const plain = `HTTP ${response.status} ${response.statusText}`;
  const text = { zh: error.zh ?? plain, en: error.en ?? plain };
  return new ApiError(response.status, error.code ?? `http.${response.status}`, text);
}

export interface Ask {
  method?: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** JSON body. */
  body?: unknown;
  /** Query parameters; empty ones are left out. */
  query?: Record<string, string | number | boolean | undefined | null>;
  signal?: AbortSignal;
  /** A body that is no JSON: an uploaded file. */
  raw?: BodyInit;
}

/** The address of an API path with its query: for links and downloads. */
export function address(path: string, query: Ask['query'] = {}): string {
  const search = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) {
    if (value !== undefined && value !== null && value !== '') search.set(key, String(value));
  }
  const text = search.toString();
  return `/api/${path.replace(/^\/?(api\/)?/, '')}${text ? `?${text}` : ''}`;
}

/** Asks the API. Every method but GET brings the action token. */
export async function api<T>(path: string, ask: Ask = {}): Promise<T> {
  const method = ask.method ?? 'GET';
  const headers: Record<string, string> = { accept: 'application/json' };
  if (method !== 'GET' && actionToken) headers['x-tusk-token'] = actionToken;
  if (ask.body !== undefined) headers['content-type'] = 'application/json';
  let response: Response;
  try {
    response = await fetch(address(path, ask.query), {
      method,
      headers,
      signal: ask.signal,
      credentials: 'same-origin',
      body: ask.raw ?? (ask.body === undefined ? undefined : JSON.stringify(ask.body)),
    });
  } catch (error) {
    if (ask.signal?.aborted) throw error;
    throw new ApiError(0, 'console.offline', OFFLINE);
  }
  if (response.status === 401 && !/^\/?(api\/)?(login|invited)/.test(path)) onUnauthorized();
  if (!response.ok) throw await problem(response);
  if (response.status === 204) return undefined as T;
  const type = response.headers.get('content-type') ?? '';
  return (type.includes('json') ? await response.json() : await response.text()) as T;
}

/** A signal that aborts when the component that called goes away. */
export function useAbort(): { signal: AbortSignal; renew: () => AbortSignal } {
  let controller = new AbortController();
  if (getCurrentScope()) onScopeDispose(() => controller.abort());
  return {
    get signal() {
      return controller.signal;
    },
    renew() {
      controller.abort();
      controller = new AbortController();
      return controller.signal;
    },
  };
}

/** Whether an error is only a request that its page gave up. */
export const isAbort = (error: unknown): boolean =>
  error instanceof DOMException && error.name === 'AbortError';

/** Shows what an action could not do. */
export function complain(error: unknown): void {
  if (isAbort(error)) return;
  ElMessage.error({
    message: error instanceof Error ? error.message : String(error),
    duration: 6000,
    showClose: true,
  });
}
