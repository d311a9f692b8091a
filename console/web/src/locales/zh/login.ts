export default {
  user: '用户名',
  password: '密码',
  hint: '用户在 tusk.toml 的 [console] 里设置；在本机终端运行 tusk console 可取得一次性登录地址。',
};
