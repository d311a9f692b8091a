// The console as people use it: a real SDK event reaches the figures; language, theme, phone, policy, speed, hostile names, errors.
'use strict';
const { base, check, consoleUrl, equal, main, open, picture, shop, until } = require('./harness.js');

// A project of its own each time, so that the script can be run again over the same data.
const PROJECT = `web_console_${Date.now()}`;
/** First paint of a page that was loaded before, ms. */
const PAINT_MAX = 1000;
const XSS = '<img src=x onerror="window.hurt=1">';

const today = () => new Intl.DateTimeFormat('sv-SE', { timeZone: 'Asia/Shanghai' }).format(Date.now());
const to = (path, state) => `${base}${path}?project=${PROJECT}${state ? `&q=${encodeURIComponent(JSON.stringify(state))}` : ''}`;

/** All pages the navigation lists. */
const paths = (page) => page.$$eval('aside nav a.link', (links) => links.map((link) => link.getAttribute('href')));

async function settled(page) {
  await page.waitForLoadState('networkidle', { timeout: 4000 }).catch(() => {});
  await page.waitForSelector('h1, h2, .empty', { timeout: 8000 });
}

async function figure(page, name) {
  const text = await page.textContent(`[data-test="figure-${name}"]`);
  return Number(text.replace(/[^\d.-]/g, ''));
}

/** A report's answer with more rows than a screen has, and names that are markup. */
function long(name) {
  const columns = ['page', 'pv', 'uv', 'entries', 'exits', 'bounces', 'stays', 'stay_s', 'stay_per_view_s', 'odd'];
  const rows = Array.from({ length: 5000 }, (_, at) => [at ? `/page/${at}` : XSS, String(9000 - at), 5, 1, 1, 1, 1, 2, 2, 0]);
  const part = { columns: columns.map((one) => ({ name: one, type: one === 'page' ? 'String' : 'UInt64' })), rows };
  return { name, parts: { rows: part }, data_until_ms: Date.now(), elapsed_ms: 1, rows_read: 5000, approximate: false };
}

main(async () => {
  const page = await open();
  await check('the first page opens', page, async () => {
    await page.goto(consoleUrl);
    await page.waitForSelector('h1');
  });

  const site = await shop(PROJECT);
  await check('a real SDK event reaches the figures', page, async () => {
    await site.visit('/');
    await site.visit('/product/1');
    await site.track('PayOrder', { order_id: 'A1001', price: 12.5, [`attr`]: XSS });
    await page.goto(to('/overview', { range: { from: today(), to: today() } }));
    const start = Date.now();
    await until('two page views in the overview', async () => {
      await page.reload();
      await page.waitForSelector('[data-test="figure-pv"], .empty, .error');
      return (await page.$('[data-test="figure-pv"]')) && (await figure(page, 'pv')) === 2;
    }, 40_000);
    equal([await figure(page, 'uv'), await figure(page, 'visits')], [1, 1], 'visitors and visits');
    await page.waitForSelector('canvas');
    await picture(page, 'overview');
    return `${Date.now() - start} ms after it was sent`;
  });

  await check('event analysis counts it', page, async () => {
    const measures = [{ event: 'PayOrder', measure: 'sum', property: { field: 'price', kind: 'num' }, filter: null }];
    await page.goto(to('/events', { range: { from: today(), to: today() }, measures }));
    await page.waitForSelector('.report-table tbody td');
    const cells = await page.$$eval('.report-table tbody td', (all) => all.map((cell) => cell.textContent.trim()));
    equal(cells, ['12.5']);
    await picture(page, 'events');
  });
  await site.close();

  await check('a funnel shows who was lost, retention who is new', page, async () => {
    const other = await shop(PROJECT);
    await other.visit('/');
    await other.close();
    const range = { from: today(), to: today() };
    const steps = ['$pageview', 'PayOrder'].map((event) => ({ event, filter: null }));
    await until('both people in the funnel', async () => {
      await page.goto(to('/funnel', { range, steps }));
      await page.waitForSelector('[data-test="step-1"], .empty, .error');
      return (await page.$('[data-test="step-1"]')) && (await page.textContent('[data-test="step-1"]')).trim() === '2 人';
    }, 40_000);
    equal((await page.textContent('[data-test="step-2"]')).trim(), '1 人');
    equal((await page.textContent('[data-test="funnel-total"]')).trim(), '50.0%');
    await page.click('[data-test="drop-2"]');
    await page.waitForSelector('[data-test="people"] tbody td');
    equal(await page.$$eval('[data-test="people"] tbody tr', (rows) => rows.length), 1, 'people lost');
    await picture(page, 'funnel');
    await page.goto(to('/retention', { range }));
    await page.waitForSelector('[data-test="cohorts"]');
    const cells = await page.$$eval('[data-test="cohorts"] tbody tr:last-child > *', (all) => all.map((cell) => cell.textContent.trim()));
    // A day that is not over has no cell behind its start.
    equal(cells, [today(), '2', '100.0%']);
    await picture(page, 'retention');
  });

  await check('the language switches, and stays', page, async () => {
    await page.goto(to('/overview'));
    await page.waitForSelector('h1:has-text("概览")');
    await page.click('[data-test="language"]');
    await page.waitForSelector('h1:has-text("Overview")');
    equal(await page.getAttribute('html', 'lang'), 'en');
    await page.reload();
    await page.waitForSelector('h1:has-text("Overview")');
    await page.click('[data-test="language"]');
    await page.waitForSelector('h1:has-text("概览")');
  });

  await check('dark is dark, before the first paint too', page, async () => {
    const light = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    await page.click('[data-test="theme"]');
    await page.reload({ waitUntil: 'domcontentloaded' });
    const dark = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    if (light === dark) throw new Error(`still ${dark}`);
    await page.click('[data-test="theme"]');
  });

  await check('every page of the navigation opens without an error', page, async () => {
    const all = await paths(page);
    for (const path of all) {
      await page.goto(to(path));
      await settled(page);
      const error = await page.$('.error[role="alert"]');
      if (error) throw new Error(`${path}: ${await error.textContent()}`);
    }
    return `${all.length} pages`;
  });

  await check('the state of a page is in its address', page, async () => {
    await page.goto(to('/trend'));
    await page.waitForSelector('.el-radio-button');
    await page.click('label:has-text("按周")');
    await until('the address to follow', async () => /%22unit%22|"unit"/.test(page.url()));
    await page.reload();
    await page.waitForSelector('label.is-active:has-text("按周")');
  });

  await check('five thousand rows scroll, and markup in names stays text', page, async () => {
    await page.route('**/api/reports/pages', (route) => route.fulfill({ json: long('pages') }));
    await page.goto(to('/pages'));
    await page.waitForSelector('.report-table tbody td');
    const rows = await page.$$eval('.report-table tbody tr', (all) => all.length);
    if (rows > 200) throw new Error(`${rows} rows in the document`);
    const first = await page.textContent('.report-table tbody td');
    equal(first.trim(), XSS);
    await page.$eval('.report-table .scroll', (box) => (box.scrollTop = box.scrollHeight));
    await page.waitForSelector('td:has-text("/page/4999")');
    equal(await page.evaluate(() => window.hurt), undefined, 'a name ran as code');
    await picture(page, 'rows');
    await page.unroute('**/api/reports/pages');
  });

  await check('an error says what to do and can be tried again', page, async () => {
    const error = { error: { code: 'clickhouse.down', zh: 'ClickHouse 没有应答', en: 'ClickHouse does not answer' } };
    await page.route('**/api/reports/pages', (route) => route.fulfill({ status: 503, json: error }));
    await page.goto(to('/pages'));
    await page.waitForSelector('.error:has-text("ClickHouse 没有应答")');
    await picture(page, 'error');
    await page.unroute('**/api/reports/pages');
    await page.click('.error button');
    await page.waitForSelector('.report-table, .empty');
  });

  await check('at phone width nothing scrolls sideways', page, async () => {
    const all = await paths(page);
    const cookies = await page.context().cookies();
    const phone = await open({ viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true });
    await phone.context().addCookies(cookies);
    for (const path of all) {
      await phone.goto(to(path));
      await settled(phone);
      const wide = await phone.evaluate(() => document.documentElement.scrollWidth);
      if (wide > 390) {
        await picture(phone, `phone-wide${path.replace(/\W/g, '-')}`);
        throw new Error(`${path} is ${wide} px wide`);
      }
    }
    await phone.goto(to('/overview'));
    await phone.click('button.burger');
    await phone.click('.el-drawer a.link >> nth=0');
    await phone.waitForSelector('.el-drawer', { state: 'hidden' });
    await picture(phone, 'phone');
    await phone.context().close();
  });

  await check('the first paint is fast', page, async () => {
    await page.goto(to('/overview'));
    await page.waitForSelector('h1');
    const times = [];
    for (let round = 0; round < 3; round += 1) {
      await page.reload();
      await page.waitForSelector('h1');
      times.push(await page.evaluate(() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? Infinity));
    }
    const best = Math.min(...times);
    if (best > PAINT_MAX) throw new Error(`${times.map(Math.round)} ms`);
    return `${times.map(Math.round)} ms`;
  });
});
