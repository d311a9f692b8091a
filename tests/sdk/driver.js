// What the JavaScript drivers share: the command line, the hook on the SDK's serialiser, and when to end.
//
// Every driver is called as `node <sdk>.js BASE_URL OUT_DIR CASE[,CASE…]`. It sends each case to the project named
// after it, appends every JSON text that the SDK serialised to OUT_DIR/<project>.jsonl (one text a line), prints
// `done` when the SDK has been given everything, and stays alive until its standard input is closed: the SDKs have queues of
// their own, and the test closes it when all has arrived.
'use strict';
const fs = require('fs');
const path = require('path');

const [base, out, list] = process.argv.slice(2);
if (!list) {
  console.error('usage: node DRIVER BASE_URL OUT_DIR CASE[,CASE…]');
  process.exit(2);
}

const isEvent = (text) => typeof text === 'string' && /"(distinct_id|item_id)"/.test(text);

module.exports = {
  base: base.replace(/\/$/, ''),
  cases: list.split(','),
  out,
  keys: JSON.parse(fs.readFileSync(path.join(__dirname, 'keys.json'), 'utf8')),
  sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
  url: (project) => `${base.replace(/\/$/, '')}/sa?project=${project}`,

  /** Appends one serialised text to the log of a project. */
  meant(project, text) {
    fs.appendFileSync(path.join(out, `${project}.jsonl`), text + '\n');
  },

  /** Wraps JSON.stringify of this process: what the SDK serialises from now on goes to `project()`. */
  hook(project) {
    const original = JSON.stringify;
    JSON.stringify = function (...args) {
      const text = original.apply(JSON, args);
      // A request's own options are serialised too by some SDKs; they are no events.
      if (isEvent(text) && !/"headers"/.test(text)) module.exports.meant(project(), text);
      return text;
    };
  },

  /** Says that all was handed to the SDK and waits for the test to close standard input. */
  async finish() {
    console.log('done');
    await new Promise((resolve) => process.stdin.resume().on('end', resolve).on('error', resolve));
    process.exit(0);
  },
};

process.on('unhandledRejection', (error) => console.error('unhandled', error && error.message));
