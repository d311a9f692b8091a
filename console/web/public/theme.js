// Before the first paint: dark or light as chosen, else as the system says.
(function () {
  var chosen = null;
  try {
    chosen = localStorage.getItem('tusk.theme');
  } catch (_) {
    chosen = null;
  }
  var dark = chosen ? chosen === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
  document.documentElement.classList.toggle('dark', dark);
})();
