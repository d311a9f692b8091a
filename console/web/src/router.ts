// One route a view, as src/views/index.ts lists them.
import { createRouter, createWebHistory } from 'vue-router';
import { setUnauthorized } from './api';
import { message } from './i18n';
import { trouble } from './session';
import { views } from './views';

export const router = createRouter({
  history: createWebHistory('/'),
  routes: [
    // Without the one-time key that may stand there.
    { path: '/', redirect: { path: '/live', query: {} } },
    {
      path: '/login',
      component: () => import('./views/login/index.vue'),
      meta: { bare: true, title: 'app.login' },
    },
    ...views.map((view) => ({
      path: view.path,
      component: view.component,
      meta: { title: view.title, wide: view.wide ?? false, bare: view.bare ?? false },
    })),
    {
      path: '/:rest(.*)*',
      component: () => import('./views/missing/index.vue'),
      meta: { title: 'app.missing' },
    },
  ],
  scrollBehavior: (to, from, saved) => saved ?? (to.path === from.path ? false : { top: 0 }),
});

const toLogin = () => {
  const { path, fullPath } = router.currentRoute.value;
  if (path !== '/login') void router.replace({ path: '/login', query: { to: fullPath } });
};
setUnauthorized(toLogin);

router.beforeEach((to) => {
  if (trouble.value === 'login' && to.path !== '/login')
    return { path: '/login', query: { to: to.fullPath } };
  return true;
});
router.afterEach((to) => {
  const title = to.meta.title ? message(String(to.meta.title)) : '';
  document.title = title ? `${title} · Tusk` : 'Tusk';
});
