// The shop page: what a shop's own developers would write against the web SDK.
'use strict';
const sensors = window.sensorsDataAnalytic201505;
sensors.init({ server_url: window.receiveUrl, is_track_single_page: false, heatmap: { clickmap: 'default', scroll_notice_map: 'not_collect' }, send_type: 'beacon' });
sensors.use('PageLeave', { heartbeat_interval_time: 5 });
sensors.registerPage({ shop: '小象商城' });

const GOODS = [
  ['6917529027641081856', '手机商品 1', '手机', 2999, '📱'], ['6917529027641089775', '家电商品 2', '家电', 899.5, '🔌'],
  ['6917529027641097694', '女装商品 3', '女装', 159, '👗'], ['6917529027641105613', '母婴商品 4', '母婴', 88.8, '🍼'],
  ['6917529027641113532', '食品商品 5', '食品', 39.9, '🍜'], ['6917529027641121451', '图书商品 6', '图书', 45, '📚'],
].map(([id, name, category, price, icon]) => ({ id, name, category, price, icon }));
const page = document.getElementById('page');
const cart = JSON.parse(localStorage.getItem('cart') || '[]');

function make(tag, text, more) {
  return Object.assign(document.createElement(tag), { textContent: text }, more);
}

function about(goods) {
  return { product_id: goods.id, product_name: goods.name, category: goods.category, price: goods.price };
}

function keepCart() {
  localStorage.setItem('cart', JSON.stringify(cart));
  document.getElementById('count').textContent = cart.length;
}

function list(goods) {
  const all = make('ul', '', { className: 'goods' });
  for (const one of goods) {
    const link = make('a', '', { href: '/item/' + one.id });
    link.append(make('span', one.icon), make('div', one.name), make('div', '¥' + one.price, { className: 'price' }));
    const row = document.createElement('li');
    row.append(link);
    all.append(row);
  }
  return all;
}

function home() {
  const form = document.createElement('form');
  const words = make('input', '', { placeholder: '搜索商品', name: 'words', ariaLabel: '搜索商品' });
  const results = document.createElement('div');
  results.append(list(GOODS));
  form.append(words, make('button', '搜索'));
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    const found = GOODS.filter((one) => one.name.includes(words.value.trim()));
    results.replaceChildren(list(found));
    sensors.track('SearchProduct', { keyword: words.value.trim(), result_count: found.length, has_result: found.length > 0 });
  });
  page.replaceChildren(form, results);
}

function item(id) {
  const goods = GOODS.find((one) => one.id === id) || GOODS[0];
  const add = make('button', '加入购物车', { type: 'button', id: 'add' });
  add.addEventListener('click', () => {
    cart.push(goods.id);
    keepCart();
    sensors.track('AddToCart', { ...about(goods), quantity: 1 });
  });
  page.replaceChildren(make('h1', goods.icon + ' ' + goods.name), make('p', '¥' + goods.price, { className: 'price' }), add);
  sensors.track('ViewProduct', about(goods));
}

function showCart() {
  const goods = cart.map((id) => GOODS.find((one) => one.id === id)).filter(Boolean);
  const amount = Math.round(goods.reduce((sum, one) => sum + one.price, 0) * 100) / 100;
  const order = make('button', '提交订单', { type: 'button', id: 'order', disabled: goods.length === 0 });
  order.addEventListener('click', () => {
    const order_id = 'W' + Date.now();
    sensors.track('SubmitOrder', { order_id, amount, quantity: goods.length, category: goods[0].category, product_ids: cart.slice(), has_coupon: false });
    // In a real shop the payment's event comes from the server.
    sensors.track('PayOrder', { order_id, amount, pay_method: '微信支付', category: goods[0].category });
    cart.length = 0;
    keepCart();
    page.replaceChildren(make('h1', '下单成功'), make('p', '订单 ' + order_id));
  });
  page.replaceChildren(make('h1', '购物车'), list(goods), make('p', '合计 ¥' + amount, { className: 'price' }), order);
}

function show() {
  const [, name, id] = location.pathname.split('/');
  document.title = { item: '商品详情', cart: '购物车', activity: '618 主会场' }[name] || '首页';
  sensors.quick('autoTrackSinglePage');
  if (name === 'item') item(id);
  else if (name === 'cart') showCart();
  else home();
}

function account(user) {
  document.getElementById('account').textContent = user || '登录';
}

document.getElementById('account').addEventListener('click', () => {
  const known = localStorage.getItem('user');
  if (known) {
    localStorage.removeItem('user');
    sensors.logout();
  } else {
    const user = 'demo' + Math.floor(Math.random() * 1000);
    localStorage.setItem('user', user);
    sensors.login(user);
    sensors.setProfile({ name: '演示用户', vip_level: 1 });
  }
  account(localStorage.getItem('user'));
});
document.getElementById('url').textContent = window.receiveUrl;
window.addEventListener('popstate', show);
document.addEventListener('click', (event) => {
  const link = event.target.closest('a');
  if (!link) return;
  event.preventDefault();
  history.pushState(null, '', link.href);
  show();
});
account(localStorage.getItem('user'));
keepCart();
show();
