export default {
  user: 'User',
  password: 'Password',
  hint: 'Users are set in [console] of tusk.toml; `tusk console` in a terminal of that machine prints a one-time address.',
};
