// The same bundle on an edge runtime: jco makes a JavaScript module of the component, and workerd runs it.
//
//   node run.mjs HELLO_WASM WORKDIR [PACKAGES]
//
// PACKAGES is the folder where ../clients/package.json was installed: that one, unless said otherwise.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';

const TIME_MAX_MS = 60_000;

const [component, workdir, folder = join(import.meta.dirname, '../clients')] = process.argv.slice(2);
if (!workdir) {
  console.error('usage: node run.mjs HELLO_WASM WORKDIR [PACKAGES]');
  process.exit(2);
}
const packages = createRequire(resolve(folder, 'package.json'));

/** Writes the worker's modules into the work directory and returns their names. */
async function build() {
  const { transpile } = await import(packages.resolve('@bytecodealliance/jco'));
  // Without `instantiation` jco's module would compile the core modules itself, which workerd forbids.
  const options = { name: 'tool', instantiation: 'async', nodejsCompat: false, noTypescript: true };
  const { files } = await transpile(await readFile(component), options);
  const transpiled = Object.keys(files).filter((name) => /\.(js|wasm)$/.test(name));
  for (const name of transpiled) await writeFile(join(workdir, name), files[name]);

  // Node is given the shim for Node; the one for browsers needs nothing but what every JavaScript host has.
  const shim = join(dirname(packages.resolve('@bytecodealliance/preview2-shim')), '../browser');
  const shims = (await readdir(shim)).filter((name) => name.endsWith('.js'));
  await mkdir(join(workdir, 'shim'), { recursive: true });
  for (const name of shims) await copyFile(join(shim, name), join(workdir, 'shim', name));

  await copyFile(join(import.meta.dirname, 'worker.mjs'), join(workdir, 'worker.mjs'));
  return ['worker.mjs', ...transpiled, ...shims.map((name) => `shim/${name}`)];
}

function configuration(modules) {
  const kind = (name) => (name.endsWith('.wasm') ? 'wasm' : 'esModule');
  const embedded = modules.map((name) => `    (name = "${name}", ${kind(name)} = embed "${name}"),\n`).join('');
  return `using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "tool", worker = .tool),
    # A tool reaches nothing, as at home.
    (name = "internet", network = (allow = [])),
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "tool")],
);

const tool :Workerd.Worker = (
  compatibilityDate = "2026-11-01",
  modules = [
${embedded}  ],
);
`;
}

/** Resolves to the address that workerd listens on. */
async function address(workerd) {
  const ended = once(workerd, 'exit').then(([code, signal]) => assert.fail(`workerd ended early: ${code ?? signal}`));
  const [line] = await Promise.race([once(createInterface(workerd.stdio[3]), 'line'), ended]);
  ended.catch(() => {});
  return `http://127.0.0.1:${JSON.parse(line).port}/`;
}

async function check(name, run) {
  await run();
  console.log(`ok ${name}`);
}

async function ask(url, call) {
  const request = call && { method: 'POST', body: JSON.stringify(call) };
  const response = await fetch(url, request);
  const text = await response.text();
  assert.equal(response.status, 200, text);
  return JSON.parse(text);
}

await mkdir(workdir, { recursive: true });
await writeFile(join(workdir, 'workerd.capnp'), configuration(await build()));
console.log('ok the component becomes a worker');

// On the control descriptor workerd says which port it took.
const flags = ['serve', join(workdir, 'workerd.capnp'), '--control-fd=3'];
const workerd = spawn(packages.resolve('@cloudflare/workerd-linux-64/bin/workerd'), flags, {
  stdio: ['ignore', 'inherit', 'inherit', 'pipe'],
  // Whoever waits for it then fails instead of waiting on.
  timeout: TIME_MAX_MS,
});
const exited = once(workerd, 'exit');
try {
  const url = await address(workerd);
  await check('workerd: list-tools', async () => {
    const { tools } = await ask(url);
    assert.deepEqual(tools.map((tool) => tool.name).sort(), ['echo', 'greet', 'introduce']);
  });
  await check('workerd: call-tool', async () => {
    const { outcome, progress, log } = await ask(url, { name: 'greet', arguments: { name: 'edge' } });
    assert.equal(outcome.tag, 'done');
    assert.deepEqual(outcome.val.content, [{ tag: 'text', val: 'Hello, edge!' }]);
    assert.equal(outcome.val.isError, false);
    assert.deepEqual({ progress, log }, { progress: [], log: [] });
  });
  await check('workerd: a refusal', async () => {
    const { refusal } = await ask(url, { name: 'nothing', arguments: {} });
    assert.equal(refusal.tag, 'unknown');
  });
} finally {
  workerd.kill();
  await exited;
}
