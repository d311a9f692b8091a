// All pages, one line each, in the order of the navigation.
import type { Component } from 'vue';

/** Groups of the navigation, in order; titles are `app.group.<group>`. */
export const groups = ['debug', 'report', 'user', 'manage'] as const;

export interface View {
  path: string;
  /** Where it stands in the navigation; without, it is not listed. */
  group?: (typeof groups)[number];
  /** Message key. */
  title: string;
  component: () => Promise<Component>;
  /** Uses the whole width (live lists, sequences). */
  wide?: boolean;
  /** Without navigation and header. */
  bare?: boolean;
}

export const views: View[] = [
  { path: '/start', group: 'debug', title: 'start.title', component: () => import('./start/index.vue') },
];
