// Drives the web SDK (npm sa-sdk-javascript) in headless Chromium (CHROMIUM=path, else Debian's).
// Pages come from a second loopback port, so every request to the collector is cross-origin.
'use strict';
const fs = require('fs');
const http = require('http');
const path = require('path');
const { chromium } = require('playwright-core');
const { cases, finish, keys, meant, sleep, url } = require('./driver.js');

// name: SDK settings, encryption plugin, other plugins, extra query of the page.
const CASES = {
  image: { para: { send_type: 'image' } },
  image_crossorigin: { para: { send_type: 'image', img_use_crossorigin: true } },
  image_aes: { para: { send_type: 'image' }, plugins: ['aes'] },
  image_sm: { para: { send_type: 'image' }, plugins: ['sm'] },
  ajax: { para: { send_type: 'ajax' } },
  ajax_utm: { para: { send_type: 'ajax' }, query: '&utm_source=%E7%99%BE%E5%BA%A6&utm_medium=cpc&utm_campaign=a%26b%3Dc' },
  ajax_identity: { para: { send_type: 'ajax', login_id_key: '$identity_login_id' }, identity: true },
  ajax_plugins: { para: { send_type: 'ajax' }, plugins: ['pageleave', 'pageload', 'register', 'session'] },
  ajax_aes: { para: { send_type: 'ajax' }, plugins: ['aes'] },
  ajax_sm: { para: { send_type: 'ajax' }, plugins: ['sm'] },
  beacon: { para: { send_type: 'beacon' } },
  beacon_sm: { para: { send_type: 'beacon' }, plugins: ['sm'] },
  // What is still in the queue when a page goes is sent by the next page of the site.
  batch: { para: { batch_send: { datasend_timeout: 6000, send_interval: 1000, storage_length: 200 } }, revisit: true },
};

// name: folder of the plugin, its global name, its settings.
const PLUGINS = {
  aes: ['aes-encryption', 'AesEncryption', { k: keys.aes.key_base64, kid: keys.aes.key_id, khash: 'khash-demo' }],
  sm: ['sm-encryption', 'SMEncryption', { pkv: keys.sm2.pkv, pub_key: keys.sm2.public_hex }],
  pageleave: ['pageleave', 'PageLeave', { heartbeat_interval_time: 60 }],
  pageload: ['pageload', 'PageLoad', {}],
  register: ['register-properties', 'RegisterProperties', undefined],
  session: ['session-event', 'SessionEvent', {}],
};

// Runs in the page before the SDK: keeps what JSON.stringify made, over the page's end too. The SDK also serialises half-made events
// for its own use; what it means to send always has a `_track_id`. The page-leave plugin's heartbeat is an insurance in local storage that
// is sent only if the page dies.
function hookPage() {
  const original = JSON.stringify;
  JSON.stringify = function (...args) {
    const text = original.apply(JSON, args);
    if (typeof text === 'string' && /"_track_id"/.test(text) && !/"heartbeat_interval_time"/.test(text)) sessionStorage.setItem('meant' + sessionStorage.length, text);
    return text;
  };
}

// Runs in the page: what an application does with the SDK.
function steps(identity) {
  const sensors = window.sensorsDataAnalytic201505;
  sensors.track('ViewProduct', {
    商品名: '苹果 iPhone 16 Pro「港版」', emoji: '😀👩‍👩‍👧‍👦🇨🇳', price: 6999.99, quantity: 2, negative: -1, zero: 0, tiny: 1e-7,
    big: 9007199254740991, yes: true, no: false, when: new Date(1700000000123), list: ['a', '乙', '🍎'],
    special: '+ &=%?#/\\"\'<>\n\t\u2028end', empty: '', none: null,
  });
  sensors.track('LongValues', { ascii: 'x'.repeat(1500), chinese: '长'.repeat(900), list: Array.from({ length: 100 }, (_, i) => 'tag' + i) });
  sensors.register({ super_text: '公共' });
  sensors.login('user_10001');
  sensors.setProfile({ nick: '张三', age: 30, $name: '张三' });
  sensors.setOnceProfile({ first: '一次' });
  sensors.incrementProfile({ score: 5 });
  sensors.appendProfile({ tags: ['电影', '游戏'] });
  sensors.unsetProfile('age');
  sensors.setItem('book', '0321714113', { title: '计算机程序设计艺术', isbn: '0321714113' });
  sensors.deleteItem('book', '0321714113');
  if (identity) {
    sensors.bind('$identity_mobile', '13900000000');
    sensors.unbind('$identity_mobile', '13900000000');
    sensors.loginWithKey('$identity_union', 'union_1');
  }
  sensors.deleteProfile();
  sensors.logout(true);
  sensors.identify('自定义匿名 id', true);
  sensors.track('AfterLogout');
}

const SDK = path.dirname(require.resolve('sa-sdk-javascript/package.json'));
const inside = (value) => (value === undefined ? '' : ',' + JSON.stringify(value));

function page(name) {
  const { para, plugins = [], identity = false } = CASES[name];
  const settings = {
    server_url: url('web_' + name), is_track_single_page: false, show_log: false,
    heatmap: { clickmap: 'default', scroll_notice_map: 'default', scroll_delay_time: 300, collect_tags: { div: true } }, ...para,
  };
  const script = (file) => `<script src="/sdk/${file}"></script>`;
  const use = plugins.map((plugin) => `sensors.use(SensorsDataWebJSSDKPlugin.${PLUGINS[plugin][1]}${inside(PLUGINS[plugin][2])});`);
  return `<!doctype html><meta charset="utf-8"><title>首页 – Ünïcode ✓ 😀 ${name}</title>
<script>(${hookPage})();</script>
${script('dist/web/sensorsdata.js')}${plugins.map((plugin) => script(`dist/web/plugin/${PLUGINS[plugin][0]}/index.js`)).join('')}
<body style="height:6000px"><button id="buy" name="buy" class="btn">立即购买 Buy 😀</button><a id="link" href="#part">链接</a><div id="block">text</div>
<script>var sensors = window.sensorsDataAnalytic201505;
${use.join('\n')}
sensors.init(${JSON.stringify(settings)});
sensors.registerPage({ 页面类型: '详情页', page_number: 3, computed: function () { return 'computed'; } });
if (!/revisit/.test(location.search)) sensors.quick('autoTrack', { platform: 'h5' });
window.steps = function () { (${steps})(${identity}); };
</script>`;
}

const pages = http.createServer((query, answer) => {
  const { pathname } = new URL(query.url, 'http://pages');
  const file = path.join(SDK, pathname.slice('/sdk/'.length));
  if (pathname.startsWith('/sdk/') && file.startsWith(SDK + path.sep) && fs.existsSync(file)) {
    answer.setHeader('content-type', 'application/javascript; charset=utf-8');
    return answer.end(fs.readFileSync(file));
  }
  answer.setHeader('content-type', 'text/html; charset=utf-8');
  if (pathname.startsWith('/page/')) return answer.end(page(pathname.slice('/page/'.length)));
  answer.statusCode = pathname === '/after' ? 200 : 404;
  return answer.end('<!doctype html><p>after');
});

async function run(browser, origin, name) {
  const context = await browser.newContext();
  const tab = await context.newPage();
  tab.on('pageerror', (error) => console.error(name, error.message));
  await tab.goto(`${origin}/page/${name}?from=测试${CASES[name].query || ''}`, { waitUntil: 'load' });
  await sleep(700);
  await tab.evaluate(() => window.steps());
  await sleep(500);
  await tab.click('#buy');
  await tab.click('#link');
  await tab.click('#block');
  await tab.evaluate(() => window.scrollTo(0, 3000));
  await sleep(4600);
  await tab.evaluate(() => window.scrollTo(0, 100));
  // Queues are drained before the page goes: what an image or XHR had in flight at unload is the browser's to lose.
  const drained = () => tab.waitForFunction(() => !Object.keys(localStorage).some((key) => /^sawebjssdk-/.test(key)), undefined, { timeout: 15000 });
  await drained();
  await sleep(1500);
  await tab.goto(origin + (CASES[name].revisit ? `/page/${name}?revisit` : '/after'));
  await sleep(500);
  await drained();
  const texts = await tab.evaluate(() => Object.keys(sessionStorage).filter((key) => /^meant/.test(key)).map((key) => sessionStorage[key]));
  for (const text of texts) meant('web_' + name, text);
}

(async () => {
  await new Promise((resolve) => pages.listen(0, '127.0.0.1', resolve));
  const origin = `http://127.0.0.1:${pages.address().port}`;
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM || '/usr/bin/chromium', headless: true,
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync', '--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1'],
  });
  const waiting = [...cases];
  // Three pages at a time keep two cores busy without starving the SDK's timers.
  await Promise.all([1, 2, 3].map(async () => { for (let name = waiting.shift(); name; name = waiting.shift()) await run(browser, origin, name); }));
  await finish();
})().catch((error) => { console.error(error); process.exit(1); });
