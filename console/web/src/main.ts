import 'element-plus/theme-chalk/base.css';
import 'element-plus/theme-chalk/dark/css-vars.css';
// What code opens has no tag that would bring its style.
import 'element-plus/theme-chalk/el-message.css';
import 'element-plus/theme-chalk/el-message-box.css';
import 'element-plus/theme-chalk/el-button.css';
import 'element-plus/theme-chalk/el-input.css';
import 'element-plus/theme-chalk/el-overlay.css';
import 'element-plus/theme-chalk/el-loading.css';
import './styles/base.css';
import './styles/parts.css';
import { ElLoadingDirective } from 'element-plus';
import { createApp } from 'vue';
import App from './App.vue';
import { i18n } from './i18n';
import { router } from './router';
import { loadSession } from './session';

void loadSession().finally(() => {
  createApp(App).use(i18n).use(router).directive('loading', ElLoadingDirective).mount('#app');
});
