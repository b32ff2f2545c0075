// The command line of the MCP Inspector against a house with the demo tools: over HTTP and over stdio, in both
// eras of the protocol, and from a configuration file.
//
//   node inspector.mjs CERTOSA MANIFEST URL [PACKAGES]
//
// CERTOSA is the binary; MANIFEST and the house at URL have the demo tools. PACKAGES is the folder where
// package.json was installed: this one, unless said otherwise.

import assert from 'node:assert/strict';
import { join, resolve } from 'node:path';

import { CALLS, PROMPTS, RESOURCES, TEMPLATES, TOOLS, check, endAfter, text } from './common.mjs';
import { run, sample, scratch, write } from './programs.mjs';

const [certosa, manifest, url, folder = import.meta.dirname] = process.argv.slice(2);
if (!url) {
  console.error('usage: node inspector.mjs CERTOSA MANIFEST URL [PACKAGES]');
  process.exit(2);
}

const program = resolve(folder, 'node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js');
const home = scratch(certosa);
// Otherwise it looks for the keychain of the desktop, and says so if there is none.
const env = { MCP_INSPECTOR_SECRET_STORE: 'memory' };
/** Its exit code when a tool says that it failed. */
const TOOL_FAILED = 5;

function launch(target, args) {
  const format = ['--format', 'json', '--quiet'];
  return run(process.execPath, [program, '--cli', ...format, '--method', ...args, ...target], { home, env });
}

/** One method: what is written to standard output, as JSON, or the error that is written to standard error. */
async function ask(target, args, code = 0) {
  const ran = await launch(target, args);
  assert.equal(ran.code, code, `${args.join(' ')}: exit code ${ran.code}\n${ran.stdout}${ran.stderr}`);
  return ran.stdout ? JSON.parse(ran.stdout).result : JSON.parse(ran.stderr).error;
}

const names = (list) => list.map((item) => item.name).sort();

/** What each method must give. */
const methods = {
  'tools/list': async (target) => {
    assert.deepEqual(names((await ask(target, ['tools/list'])).tools), TOOLS);
    // It names the schemas that some clients cannot use. There is one: what is in a cell of a table has no one type.
    const ran = await launch(target, ['tools/list', '--strict']);
    const complaints = [...ran.stderr.matchAll(/^Error: tool "(.*)"\n {2}Path: (.*)$/gm)].map(([, ...found]) => found);
    assert.deepEqual(complaints, [['table_query', 'outputSchema.properties.rows.items.items']], ran.stderr);
  },
  'tools/call': async (target) => {
    const greet = ['tools/call', '--tool-name', 'hello_greet'];
    assert.equal(text(await ask(target, [...greet, '--tool-arg', 'name=Ana'])), 'Hello, Ana!');
    for (const [name, args, said] of CALLS) {
      const result = await ask(target, ['tools/call', '--tool-name', name, '--tool-args-json', JSON.stringify(args)]);
      assert.ok(text(result).includes(said), `${name}: ${text(result)}`);
    }
    assert.equal((await ask(target, greet, TOOL_FAILED)).isError, true);
  },
  'prompts/list': async (target) => {
    assert.deepEqual(names((await ask(target, ['prompts/list'])).prompts), PROMPTS);
  },
  'prompts/get': async (target) => {
    const welcome = ['prompts/get', '--prompt-name', 'hello_welcome', '--prompt-args', 'name=Ana'];
    const get = (...values) => [...welcome, ...values];
    assert.match((await ask(target, get())).messages[0].content.text, /^Hello, Ana!/);
    assert.match((await ask(target, get('language=french'))).messages[0].content.text, /^Bonjour, Ana!/);
    assert.match((await ask(target, get('language=klingon'), 1)).message, /klingon/);
  },
  'resources/list': async (target) => {
    const { resources } = await ask(target, ['resources/list']);
    assert.deepEqual(resources.map((resource) => resource.uri), RESOURCES);
  },
  'resources/templates/list': async (target) => {
    const { resourceTemplates } = await ask(target, ['resources/templates/list']);
    assert.deepEqual(resourceTemplates.map((item) => item.uriTemplate), TEMPLATES);
  },
  'resources/read': async (target) => {
    const read = (uri) => ['resources/read', '--uri', uri];
    assert.match((await ask(target, read('hello://about'))).contents[0].text, /^# hello\n/);
    assert.equal((await ask(target, read('hello://greeting/french'))).contents[0].text, 'Bonjour');
    assert.match((await ask(target, read('time://zones/Europe/Rome'))).contents[0].text, /\+0[12]/);
    assert.match((await ask(target, read('hello://greeting/klingon'), 1)).message, /klingon/);
  },
};

/** The methods of a target two at a time: each is a process of its own, which mostly starts. */
async function use(what, target, chosen = Object.keys(methods)) {
  const waiting = [...chosen];
  const worker = async () => {
    for (let name = waiting.shift(); name; name = waiting.shift()) {
      await check(`${what}: ${name}`, () => methods[name](target));
    }
  };
  await Promise.all([worker(), worker()]);
}

async function speaks(what, target, version) {
  await check(`${what}: ${version}`, async () => {
    const { protocolVersion, serverInfo } = await ask(target, ['initialize']);
    assert.equal(protocolVersion, version);
    assert.equal(serverInfo.name, 'certosa');
  });
}

endAfter(300_000);
const few = ['tools/list', 'prompts/get', 'resources/list'];
for (const [what, target, inModern, inLegacy] of [
  ['HTTP', [url], few, undefined],
  ['stdio', ['--', 'certosa', 'stdio', resolve(manifest)], undefined, few],
  ['bridge', ['--', 'certosa', 'stdio', '--url', url], few, []],
]) {
  for (const [era, version, chosen] of [
    ['modern', '2026-07-28', inModern],
    ['legacy', '2025-11-25', inLegacy],
  ]) {
    const so = ['--protocol-era', era, ...target];
    await speaks(what, so, version);
    await use(`${era}: ${what}`, so, chosen);
  }
}

// The form that Claude Code, Claude Desktop and Cursor have in common. The Inspector takes an address only with
// its type.
const file = join(home, 'mcp.json');
write(file, sample('claude-code.mcp.json', { manifest, url }));
for (const name of ['certosa', 'certosa-stdio']) {
  await use(`file: ${name}`, ['--config', file, '--server', name], ['tools/list']);
}
await check('file: a name that is not in it', async () => {
  const error = await ask(['--config', file, '--server', 'nobody'], ['tools/list'], 1);
  assert.match(error.message, /nobody/);
});
