// Chinese and English: messages of all parts, collected; `t('part.key')`.
import { computed, ref, watch } from 'vue';
import { createI18n } from 'vue-i18n';

export type Language = 'zh' | 'en';
/** A text of the API in both languages. */
export interface Text {
  zh: string;
  en: string;
}

type Tree = { [key: string]: string | Tree };
const files = import.meta.glob<{ default: Tree }>('./locales/*/*.ts', { eager: true });
const messages: Record<Language, Tree> = { zh: {}, en: {} };
for (const [path, file] of Object.entries(files)) {
  const found = /locales\/(zh|en)\/(.+)\.ts$/.exec(path);
  if (found) messages[found[1] as Language][found[2]] = file.default;
}

const KEY = 'tusk.language';
const saved = localStorage.getItem(KEY);
const browser: Language = navigator.languages
  .find((one) => /^(zh|en)\b/i.test(one))
  ?.toLowerCase()
  .startsWith('zh')
  ? 'zh'
  : 'en';
const chosen = ref<Language>(saved === 'zh' || saved === 'en' ? saved : browser);

export const i18n = createI18n({
  legacy: false,
  locale: chosen.value,
  fallbackLocale: 'en',
  messages: messages as never,
});
export const language = computed(() => chosen.value);

/** Changes the language of the page and remembers it. */
export function setLanguage(to: Language, remember = true): void {
  chosen.value = to;
  if (remember) localStorage.setItem(KEY, to);
}

/** What the console's setting says holds where neither somebody chose nor the browser speaks one of the two. */
export function suggestLanguage(to: string): void {
  const spoken = navigator.languages.some((one) => /^(zh|en)\b/i.test(one));
  if (!saved && !spoken && (to === 'zh' || to === 'en')) setLanguage(to, false);
}

/** The text in the language of the page. */
export function pick(text: Text | undefined | null): string {
  if (!text) return '';
  return chosen.value === 'zh' ? text.zh || text.en : text.en || text.zh;
}

watch(
  chosen,
  (to) => {
    (i18n.global.locale as unknown as { value: string }).value = to;
    document.documentElement.lang = to === 'zh' ? 'zh-CN' : 'en';
  },
  { immediate: true },
);

const global = i18n.global as unknown as { t: (key: string) => string };

/** A message outside of components. */
export const message = (key: string): string => global.t(key);
