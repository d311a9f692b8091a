// Drives the mini-program SDK (npm sa-sdk-miniprogram) on a stubbed `wx`. One case a process, since the SDK is a singleton.
// Cases: single, single_gzip, single_sm, single_aes, batch, batch_gzip, batch_sm, batch_aes.
//
// The stub carries wx.request by Node's http with the method, header and body that the SDK asked for; User-Agent and Referer
// are what the WeChat client adds. Everything else on the wire is the SDK's.
'use strict';
const http = require('http');
const crypto = require('crypto');
const { cases, finish, hook, keys, sleep, url } = require('./driver.js');

const [name] = cases;
const project = 'miniprogram_' + name;
const stringify = JSON.stringify;
hook(() => project);

const stored = new Map();
const nothing = () => {};
const answer = (query, result, callback = 'success') => {
  if (query[callback]) query[callback](result);
  if (query.complete) query.complete(result);
};
const later = (query, result, callback) => setTimeout(() => answer(query, result, callback), 1);
const system = {
  model: 'iPhone 14', brand: 'iPhone', pixelRatio: 3, screenWidth: 390, screenHeight: 844, windowWidth: 390, windowHeight: 753,
  language: 'zh_CN', version: '8.0.50', system: 'iOS 17.4', platform: 'ios', SDKVersion: '3.4.0', fontSizeSetting: 16,
};
const client = {
  'User-Agent': 'Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 MicroMessenger/8.0.50 NetType/WIFI Language/zh_CN',
  Referer: 'https://servicewechat.com/wx0123456789abcdef/1/page-frame.html',
};

function request(query) {
  const to = new URL(query.url);
  const data = query.data === undefined ? '' : typeof query.data === 'string' ? query.data : stringify(query.data);
  const body = Buffer.from(data);
  const sent = http.request({
    host: to.hostname, port: to.port, path: to.pathname + to.search, method: (query.method || 'GET').toUpperCase(),
    headers: { 'content-type': 'application/json', ...(query.header || {}), 'Content-Length': body.length, ...client },
  }, (reply) => {
    let text = '';
    reply.on('data', (chunk) => { text += chunk; });
    reply.on('end', () => answer(query, { statusCode: reply.statusCode, data: text, header: reply.headers }));
  });
  sent.on('error', (error) => answer(query, { errMsg: error.message }, 'fail'));
  sent.end(body);
  return { abort: () => sent.destroy() };
}

const hide = [];
const wx = {
  request,
  getStorageSync: (key) => (stored.has(key) ? stored.get(key) : ''),
  setStorageSync: (key, value) => stored.set(key, value),
  removeStorageSync: (key) => stored.delete(key),
  getStorage: (query) => (stored.has(query.key) ? later(query, { data: stored.get(query.key) }) : later(query, { errMsg: 'none' }, 'fail')),
  setStorage: (query) => { stored.set(query.key, query.data); answer(query, {}); },
  removeStorage: (query) => stored.delete(query.key),
  getSystemInfoSync: () => system, getDeviceInfo: () => system, getWindowInfo: () => system, getAppBaseInfo: () => system,
  getSystemInfo: (query) => later(query, system),
  getNetworkType: (query) => later(query, { networkType: 'wifi' }),
  getAccountInfoSync: () => ({ miniProgram: { appId: 'wx0123456789abcdef', version: '1.2.3', envVersion: 'release' } }),
  getLaunchOptionsSync: () => ({ path: 'pages/index/index', scene: 1001, query: { utm_source: '微信' } }),
  onAppHide: (callback) => hide.push(callback),
  getRandomValues: (query) => {
    const bytes = crypto.randomBytes(query.length);
    setTimeout(() => query.success({ randomValues: bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length) }), 1);
  },
};
global.wx = new Proxy(wx, { get: (target, key) => (key in target ? target[key] : nothing) });
const life = {};
global.App = (app) => { life.app = app; };
global.Page = (page) => { life.page = page; };
global.Component = nothing;
global.getApp = () => life.app;
global.getCurrentPages = () => [{ route: 'pages/index/index', __route__: 'pages/index/index', options: { id: '商品1' }, data: {} }];
global.__wxConfig = {};

const load = (file) => { const loaded = require('sa-sdk-miniprogram/dist/wechat/' + file); return loaded.default || loaded; };

function steps(sensors) {
  App({ onLaunch() {}, onShow() {}, onHide() {} });
  life.app.onLaunch({ path: 'pages/index/index', scene: 1001, query: { utm_source: '微信' } });
  life.app.onShow({ path: 'pages/index/index', scene: 1001, query: {} });
  Page({ data: {}, onLoad() {}, onShow() {}, onTap() {} });
  const page = Object.assign({ route: 'pages/index/index', __route__: 'pages/index/index' }, life.page);
  page.onLoad.call(page, { id: '商品1' });
  page.onShow.call(page);
  page.onTap.call(page, { type: 'tap', currentTarget: { id: 'buy', dataset: { content: '立即购买', type: 'btn', name: 'b' } }, target: { id: 'buy' } });
  sensors.track('ViewProduct', {
    product: '苹果 iPhone「港版」', emoji: '😀👩‍👩‍👧‍👦🇨🇳', price: 6999.99, quantity: 2, negative: -1, big: 9007199254740991,
    yes: true, no: false, when: new Date(1767323045678), list: ['a', '乙', '🍎'], special: '+ &=%?#/\\"\'<>\n\t\u2028end', empty: '',
  });
  sensors.login('user_10001');
  sensors.setProfile({ nick: '张三', age: 30 });
  sensors.setOnceProfile({ first: '一次' });
  sensors.incrementProfile({ score: 5 });
  sensors.appendProfile({ tags: ['电影', '游戏'] });
  sensors.bind('$identity_mobile', '13900000000');
  sensors.unbind('$identity_mobile', '13900000000');
  sensors.track('LongValues', { long: '长'.repeat(2000), list: Array.from({ length: 100 }, (_, i) => 'tag' + i) });
  sensors.logout();
  sensors.track('AfterLogout');
}

(async () => {
  const sensors = load('sensorsdata.cjs.js');
  sensors.setPara({
    name: 'sensors', server_url: url(project), show_log: false,
    batch_send: name.startsWith('batch') ? { send_timeout: 1500, max_length: 6 } : false,
    autoTrack: { appLaunch: true, appShow: true, appHide: true, pageShow: true, pageShare: true, mpClick: true },
  });
  if (name.endsWith('_gzip')) sensors.use(load('plugin/gzip/index.cmd.js'));
  if (name.endsWith('_sm')) sensors.use(load('plugin/sm-encryption/index.cmd.js'), { pkv: keys.sm2.pkv, pub_key: keys.sm2.public_hex });
  if (name.endsWith('_aes')) sensors.use(load('plugin/encryption/index.cmd.js'), { k: keys.aes.key_base64, kid: keys.aes.key_id, khash: 'khash-demo' });
  sensors.registerApp({ super_text: '公共', super_number: 1 });
  sensors.init();
  await sleep(300);
  steps(sensors);
  await sleep(2500);
  if (life.app.onHide) life.app.onHide.call(life.app);
  for (const callback of hide) callback();
  await finish();
})().catch((error) => { console.error(error); process.exit(1); });
