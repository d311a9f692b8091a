// Drives the Node SDK (npm sa-sdk-node). One case a process, since its streams are shared.
// Cases: submit, submit_nogzip, submit_batch, nw, debug_write, debug_dry.
'use strict';
const fs = require('fs');
const path = require('path');
const { cases, finish, hook, out, url } = require('./driver.js');

const [name] = cases;
const project = 'node_' + name;
hook(() => project);
const SensorsAnalytics = require('sa-sdk-node');

const MODES = {
  submit: (sa, to) => sa.submitTo({ url: to, mode: 'track', timeout: 10000 }),
  submit_nogzip: (sa, to) => sa.submitTo({ url: to, gzip: false, timeout: 10000 }),
  submit_batch: (sa, to) => sa.submitTo({ url: to, timeout: 10000 }, { count: 5, timeSpan: 500 }),
  nw: (sa, to) => sa.initNWConsumer({ url: to, cachePath: fs.mkdtempSync(path.join(out, 'nw-')), timeout: 10000 }, { count: 5, timeSpan: 500 }),
  debug_write: (sa, to) => sa.submitTo({ url: to, mode: 'debug', timeout: 10000 }),
  debug_dry: (sa, to) => sa.submitTo({ url: to, mode: 'dryRun', timeout: 10000 }),
};

function steps(sa) {
  sa.registerSuperProperties({ super_text: '公共', super_number: 1 });
  sa.track('anon_1', 'ViewProduct', {
    product: '苹果 iPhone「港版」', emoji: '😀👩‍👩‍👧‍👦🇨🇳', price: 6999.99, quantity: 2, negative: -1, tiny: 1e-7,
    big: 9007199254740991, yes: true, no: false, when: new Date(1767323045678), list: ['a', '乙', '🍎'],
    special: '+ &=%?#/\\"\'<>\n\t\u2028end', empty: '', $ip: '1.2.3.4',
  });
  sa.track('anon_1', 'WithTime', { $time: new Date(1767196799999), x: 1 });
  sa.trackSignup('user_10001', 'anon_1', { channel: '微信' });
  sa.profileSet('user_10001', { $name: '张三', age: 30, vip: true });
  sa.profileSetOnce('user_10001', { first: '一次' });
  sa.profileIncrement('user_10001', { score: 5, amount: -1.5 });
  sa.profileAppend('user_10001', { tags: ['电影', '游戏'] });
  sa.profileUnset('user_10001', ['age']);
  sa.itemSet('book', '0321714113', { title: '计算机程序设计艺术', price: 88.5 });
  sa.itemDelete('book', '0321714113');
  sa.track('long_1', 'LongValues', { long: '长'.repeat(400), list: Array.from({ length: 100 }, (_, i) => 'tag' + i) });
}

const sa = new SensorsAnalytics();
MODES[name](sa, url(project));
steps(sa);
finish();
