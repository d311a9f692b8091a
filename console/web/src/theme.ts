// Light or dark: as chosen, else as the system says. public/theme.js does the same before the first paint.
import { ref, watch } from 'vue';

const KEY = 'tusk.theme';
const system = matchMedia('(prefers-color-scheme: dark)');
const start = localStorage.getItem(KEY);

/** Whether the page is dark. */
export const dark = ref(start ? start === 'dark' : system.matches);

watch(dark, (on) => document.documentElement.classList.toggle('dark', on), { immediate: true });
system.addEventListener('change', (event) => {
  if (!localStorage.getItem(KEY)) dark.value = event.matches;
});

/** Chooses, and remembers it. */
export function toggleDark(): void {
  dark.value = !dark.value;
  localStorage.setItem(KEY, dark.value ? 'dark' : 'light');
}
