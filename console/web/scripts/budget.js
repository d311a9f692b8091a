// Fails the build when the pages grow over what a first visit may load. Sizes are gzipped, as the console sends them.
import { readdirSync, readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';

/** First paint, the heaviest page and its chart together, bytes: a second on a 5 Mbit/s line. */
const TOTAL_MAX = 600 * 1024;
/** What index.html itself asks for, bytes. */
const FIRST_MAX = 220 * 1024;

const dist = new URL('../dist/', import.meta.url);
const size = (name) => gzipSync(readFileSync(new URL(name, dist))).length;
const html = readFileSync(new URL('index.html', dist), 'utf8');
const first = [...html.matchAll(/(?:src|href)="\/([^"]+)"/g)].map((found) => found[1]);
const kib = (bytes) => `${(bytes / 1024).toFixed(1)} KiB`;

const firstBytes = ['index.html', ...first].reduce((sum, name) => sum + size(name), 0);
const all = readdirSync(new URL('assets/', dist)).map((name) => `assets/${name}`);
const bytes = Object.fromEntries(all.map((name) => [name, size(name)]));
const total = Object.values(bytes).reduce((sum, one) => sum + one, 0);
const heavy = Object.entries(bytes).sort((a, b) => b[1] - a[1]);

console.log(`first ${kib(firstBytes)} of ${kib(FIRST_MAX)}; everything ${kib(total)} of ${kib(TOTAL_MAX)}`);
for (const [name, one] of heavy.slice(0, 5)) console.log(`  ${kib(one).padStart(10)}  ${name}`);
if (/<style|style=|<script>/.test(html)) {
  console.error('index.html holds inline code or style: the policy of the console forbids it');
  process.exit(1);
}
if (firstBytes > FIRST_MAX || total > TOTAL_MAX) {
  console.error('over the budget: load it later, or leave it out');
  process.exit(1);
}
