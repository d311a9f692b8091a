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
  {
    path: '/live',
    group: 'debug',
    title: 'live.title',
    wide: true,
    component: () => import('./live/index.vue'),
  },
  { path: '/record', group: 'debug', title: 'record.title', component: () => import('./record/index.vue') },
  { path: '/start', group: 'debug', title: 'start.title', component: () => import('./start/index.vue') },
  {
    path: '/overview',
    group: 'report',
    title: 'overview.title',
    component: () => import('./overview/index.vue'),
  },
  { path: '/boards', group: 'report', title: 'boards.title', component: () => import('./boards/index.vue') },
  {
    path: '/realtime',
    group: 'report',
    title: 'realtime.title',
    component: () => import('./realtime/index.vue'),
  },
  { path: '/trend', group: 'report', title: 'trend.title', component: () => import('./trend/index.vue') },
  { path: '/events', group: 'report', title: 'events.title', component: () => import('./events/index.vue') },
  {
    path: '/funnel',
    group: 'report',
    title: 'funnel.title',
    component: () => import('./funnel/index.vue'),
  },
  {
    path: '/retention',
    group: 'report',
    title: 'retention.title',
    component: () => import('./retention/index.vue'),
  },
  {
    path: '/paths',
    group: 'report',
    title: 'paths.title',
    component: () => import('./paths/index.vue'),
  },
  {
    path: '/attribution',
    group: 'report',
    title: 'attribution.title',
    component: () => import('./attribution/index.vue'),
  },
  {
    path: '/distribution',
    group: 'report',
    title: 'distribution.title',
    component: () => import('./distribution/index.vue'),
  },
  { path: '/pages', group: 'report', title: 'tables.pages', component: () => import('./tables/pages.vue') },
  {
    path: '/sources',
    group: 'report',
    title: 'tables.sources',
    component: () => import('./tables/sources.vue'),
  },
  {
    path: '/regions',
    group: 'report',
    title: 'tables.regions',
    component: () => import('./tables/regions.vue'),
  },
  {
    path: '/devices',
    group: 'report',
    title: 'tables.devices',
    component: () => import('./tables/devices.vue'),
  },
  {
    path: '/health',
    group: 'debug',
    title: 'health.title',
    component: () => import('./health/index.vue'),
    wide: true,
  },
  {
    path: '/expected',
    group: 'debug',
    title: 'expected.title',
    component: () => import('./expected/index.vue'),
  },
  {
    path: '/dictionary',
    group: 'manage',
    title: 'dictionary.title',
    component: () => import('./dictionary/index.vue'),
  },
  { path: '/alerts', group: 'manage', title: 'alerts.title', component: () => import('./alerts/index.vue') },
  { path: '/users', group: 'user', title: 'users.title', component: () => import('./users/index.vue') },
  { path: '/user', title: 'users.profile', component: () => import('./users/profile.vue') },
  {
    path: '/segments',
    group: 'user',
    title: 'segments.title',
    component: () => import('./segments/index.vue'),
  },
  { path: '/tags', group: 'user', title: 'tags.title', component: () => import('./tags/index.vue') },
];
