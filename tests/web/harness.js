// What the console's tests in Chromium share: the browser, what must never happen on any page, and a site that runs the web SDK.
//
// Every script is called as `node <name>.js CONSOLE_URL RECEIVE_URL OUT_DIR`. It prints a line a check and ends with 1 if one failed;
// pictures of what it saw are in OUT_DIR.
'use strict';
const fs = require('fs');
const http = require('http');
const path = require('path');
const { chromium } = require('playwright-core');

const [consoleUrl, receiveUrl, out] = process.argv.slice(2);
if (!out) {
  console.error('usage: node SCRIPT CONSOLE_URL RECEIVE_URL OUT_DIR');
  process.exit(2);
}
fs.mkdirSync(out, { recursive: true });

const base = new URL(consoleUrl).origin;
const FLAGS = [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync',
];
/** What a page may wait for, ms. */
const LIMIT = 15_000;

let browser;
let failed = 0;
const seen = [];

/** Notes what no page may do: break the policy, throw, ask another host. */
async function watch(page, allowed = []) {
  await page.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', (event) => {
      console.error(`CSP ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`);
    });
  });
  page.on('pageerror', (error) => seen.push(`${page.url()}: threw ${error.message}`));
  page.on('console', (message) => {
    if (message.type() !== 'error') return;
    // A browser also says so when an answer is an error; what the page makes of it is checked where it matters.
    if (/Failed to load resource/.test(message.text())) return;
    seen.push(`${page.url()}: ${message.text()}`);
  });
  page.on('request', (request) => {
    const url = new URL(request.url());
    if (/^(data|blob):/.test(url.protocol) || url.origin === base || allowed.includes(url.origin)) return;
    seen.push(`${page.url()}: asked another host: ${request.url()}`);
  });
}

/** A page of the console, in a browser profile of its own. */
async function open(options = {}) {
  const context = await browser.newContext({ locale: 'zh-CN', colorScheme: 'light', viewport: { width: 1360, height: 860 }, ...options });
  context.setDefaultTimeout(LIMIT);
  const page = await context.newPage();
  await watch(page);
  return page;
}

/** One check: says how it went; a failure takes a picture and lets the others run. */
async function check(name, page, run) {
  const start = Date.now();
  try {
    const told = await run();
    const bad = seen.splice(0);
    if (bad.length) throw new Error(bad.slice(0, 5).join('\n'));
    console.log(`ok ${name}${told ? `: ${told}` : ''} (${Date.now() - start} ms)`);
  } catch (error) {
    failed += 1;
    seen.length = 0;
    console.log(`FAILED ${name}: ${String(error && error.message).slice(0, 1500)}`);
    if (page) await picture(page, `failed-${name.replace(/\W+/g, '-')}`).catch(() => {});
  }
}

/** Keeps a picture of a page. */
const picture = (page, name) => page.screenshot({ path: path.join(out, `${name}.png`) });

/** Until something is true, or the limit. */
async function until(what, ask, limit = LIMIT) {
  const end = Date.now() + limit;
  for (;;) {
    const got = await ask();
    if (got) return got;
    if (Date.now() > end) throw new Error(`waited ${limit} ms for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

function equal(got, expected, what = 'value') {
  if (JSON.stringify(got) !== JSON.stringify(expected)) throw new Error(`${what}: ${JSON.stringify(got)}, expected ${JSON.stringify(expected)}`);
}

/** A shop on a port of its own whose pages load the vendor's web SDK from npm, as a customer's site does. */
async function shop(project) {
  const sdk = path.dirname(require.resolve('sa-sdk-javascript/package.json'));
  const script = fs.readFileSync(path.join(sdk, 'dist/web/sensorsdata.js'));
  const server = http.createServer((request, response) => {
    if (request.url === '/sdk.js') return response.end(script);
    response.setHeader('content-type', 'text/html; charset=utf-8');
    const para = { server_url: `${receiveUrl}?project=${project}`, send_type: 'ajax' };
    return response.end(`<title>商店 ${request.url}</title><script src="/sdk.js"></script>
<script>window.sensors = window.sensorsDataAnalytic201505; sensors.init(${JSON.stringify(para)}); sensors.quick('autoTrack');</script>`);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${server.address().port}`;
  const context = await browser.newContext({ locale: 'zh-CN' });
  const page = await context.newPage();
  return {
    page,
    /** Opens a page of the shop and waits until all it sent was answered. */
    async visit(where) {
      const answers = [];
      const note = (response) => response.url().startsWith(receiveUrl) && answers.push(response.status());
      page.on('response', note);
      await page.goto(url + where, { waitUntil: 'networkidle', timeout: LIMIT });
      page.off('response', note);
      if (!answers.includes(200)) throw new Error(`the collector answered ${answers}`);
    },
    /** Tracks an event and waits for the answer. */
    async track(name, properties) {
      const answered = page.waitForResponse((response) => response.url().startsWith(receiveUrl) && response.request().method() !== 'OPTIONS', { timeout: LIMIT });
      await page.evaluate(([event, values]) => window.sensors.track(event, values), [name, properties]);
      equal((await answered).status(), 200, 'the collector\'s answer');
    },
    close: async () => {
      await context.close();
      server.close();
    },
  };
}

/** Runs a script with the browser, and ends the process by its result. */
async function main(run) {
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM || '/usr/bin/chromium', args: FLAGS });
  try {
    await run();
  } catch (error) {
    failed += 1;
    console.log(`FAILED: ${error && error.stack}`);
  }
  await browser.close();
  process.exit(failed ? 1 : 0);
}

module.exports = { base, check, consoleUrl, equal, main, open, out, picture, receiveUrl, shop, until, LIMIT };
