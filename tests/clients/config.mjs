// What programs are told about a house. Each sample in `config` is in the form that the program documents; here
// it is written to where that program looks for it, with this house in place of the one that it names, and tried:
// by the program itself where it can do so without an account, and by an SDK client that takes the address or the
// command from where the program would.
//
//   node config.mjs CERTOSA MANIFEST URL [PACKAGES] [--without PROGRAM …]
//
// CERTOSA is the binary; MANIFEST and the house at URL have the demo tools. PACKAGES is the folder where
// package.json was installed: this one, unless said otherwise. PROGRAM is one that was not installed:
// claude-code, codex or gemini.

import assert from 'node:assert/strict';
import { join, resolve } from 'node:path';

import { CALLS, RESOURCES, TEMPLATES, TOOLS, check, endAfter, eras, isTheForm, nowhere, text, useShortly } from './common.mjs';
import { converse, sample, scratch, succeed, write } from './programs.mjs';

const given = process.argv.slice(2);
const split = given.indexOf('--without');
const without = split < 0 ? [] : given.splice(split).slice(1);
const [certosa, manifest, url, folder = import.meta.dirname] = given;
if (!url) {
  console.error('usage: node config.mjs CERTOSA MANIFEST URL [PACKAGES] [--without PROGRAM …]');
  process.exit(2);
}

const house = { manifest, url };
const work = scratch(certosa);
const { modern, legacy, packages } = eras(folder);
const program = (path) => resolve(folder, 'node_modules', path);

/** Entries in the form that most programs have: an address, or a command with arguments. */
const common = (key, address = 'url') => (text) => {
  return map(JSON.parse(text)[key], (entry) => ({ url: entry[address], command: entry.command, args: entry.args }));
};

/** The same where an entry has to say what it is. */
const typed = (key) => (text) => {
  return map(JSON.parse(text)[key], ({ type, url, command, args }) => {
    assert.equal(type, url ? 'http' : 'stdio');
    return { url, command, args };
  });
};

/** How each program's file is read, and where it is. */
const files = {
  // .mcp.json in a project
  'claude-code.mcp.json': typed('mcpServers'),
  // the file behind "Edit Config" in its settings; addresses are not taken from there, so it gets the bridge
  'claude-desktop.claude_desktop_config.json': common('mcpServers'),
  // ~/.codex/config.toml
  'codex.config.toml': (text) => packages('smol-toml').parse(text).mcp_servers,
  // ~/.cursor/mcp.json, or .cursor/mcp.json in a project
  'cursor.mcp.json': common('mcpServers'),
  // ~/.gemini/settings.json, or .gemini/settings.json in a project; `url` would mean the transport of 2024
  'gemini.settings.json': common('mcpServers', 'httpUrl'),
  // ~/.config/goose/config.yaml
  'goose.config.yaml': (text) =>
    map(packages('yaml').parse(text).extensions, ({ type, enabled, uri, cmd, args }) => {
      assert.equal(type, uri ? 'streamable_http' : 'stdio');
      assert.equal(enabled, true);
      return { url: uri, command: cmd, args };
    }),
  // .vscode/mcp.json in a workspace, or "MCP: Open User Configuration"
  'vscode.mcp.json': typed('servers'),
  // ~/.codeium/windsurf/mcp_config.json
  'windsurf.mcp_config.json': common('mcpServers', 'serverUrl'),
  // ~/.config/zed/settings.json, or .zed/settings.json in a project
  'zed.settings.json': common('context_servers'),
};

function map(entries, change) {
  return Object.fromEntries(Object.entries(entries).map(([name, entry]) => [name, change(entry)]));
}

async function asAnSdk() {
  for (const [name, read] of Object.entries(files)) {
    const entries = read(sample(name, house));
    await check(`${name} has both ways`, () => assert.deepEqual(Object.keys(entries), ['certosa', 'certosa-stdio']));
    for (const sdk of [modern, legacy]) {
      for (const [entry, { url, command, args }] of Object.entries(entries)) {
        await check(`${name}: ${entry}: ${sdk.version}`, async () => {
          assert.ok(!url !== !command, 'neither an address nor a command, or both');
          await useShortly(sdk, url ? sdk.http(url) : sdk.stdio(command, args));
        });
      }
    }
  }
}

/** It connects, asks what the house has, and says whether that worked. Calls need an account. */
async function asClaudeCode() {
  const claude = program('@anthropic-ai/claude-code-linux-x64/claude');
  const env = { CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1', DISABLE_AUTOUPDATER: '1', DISABLE_TELEMETRY: '1' };
  const mcp = async (options, ...args) => (await succeed(claude, ['mcp', ...args], { env, ...options })).stdout;

  await check('claude-code: .mcp.json of a project', async () => {
    const at = { home: join(work, 'claude'), cwd: join(work, 'claude-project') };
    write(join(at.cwd, '.mcp.json'), sample('claude-code.mcp.json', house));
    // Instead of the question that it asks a person who opens the project.
    write(join(at.home, '.claude/settings.json'), '{"enableAllProjectMcpServers": true}');
    const list = await mcp(at, 'list');
    assert.match(list, /^certosa: .*\(HTTP\) - ✔ Connected$/m);
    assert.match(list, /^certosa-stdio: .* - ✔ Connected$/m);
  });
  await check('claude-code: claude mcp add', async () => {
    const at = { home: join(work, 'claude-add'), cwd: join(work, 'claude-add-project') };
    await mcp(at, 'add', '--transport', 'http', 'certosa', url);
    await mcp(at, 'add', 'certosa-stdio', '--', 'certosa', 'stdio', resolve(manifest));
    await mcp(at, 'add', '--transport', 'http', 'nowhere', await nowhere());
    assert.match(await mcp(at, 'get', 'certosa'), /Status: ✔ Connected\n.*Type: http\n/);
    assert.match(await mcp(at, 'get', 'certosa-stdio'), /Status: ✔ Connected\n.*Type: stdio\n/);
    // So that "connected" is known to mean something.
    assert.match(await mcp(at, 'get', 'nowhere'), /Status: ✘/);
  });
}

/** Its app server calls tools and reads resources without an account; a model is never asked. */
async function asCodex() {
  const codex = program('@openai/codex-linux-x64/vendor/x86_64-unknown-linux-musl/bin/codex');
  const at = { home: join(work, 'codex') };
  const own = join(at.home, '.codex/config.toml');
  write(own, sample('codex.config.toml', house));
  await check('codex: codex mcp list', async () => {
    const list = JSON.parse((await succeed(codex, ['mcp', 'list', '--json'], at)).stdout);
    const known = list.map(({ name, enabled, transport }) => [name, enabled, transport.type]);
    assert.deepEqual(known, [['certosa', true, 'streamable_http'], ['certosa-stdio', true, 'stdio']]);
  });
  await check('codex: codex mcp add', async () => {
    const at = { home: join(work, 'codex-add') };
    await succeed(codex, ['mcp', 'add', 'certosa', '--url', url], at);
    const { transport } = JSON.parse((await succeed(codex, ['mcp', 'get', 'certosa', '--json'], at)).stdout);
    assert.deepEqual([transport.type, transport.url], ['streamable_http', url]);
  });

  // Otherwise it would look for its model and fetch plugins. The feature is the newer era, which it does not yet
  // speak unasked.
  const quiet = ['--disable', 'plugins', '-c', 'model_provider="nobody"'];
  const nobody = ['-c', 'model_providers.nobody={name="nobody",base_url="http://127.0.0.1:9"}'];
  for (const [era, feature] of [
    ['as it is', []],
    ['2026-07-28', ['--enable', 'mcp_2026_07_28']],
  ]) {
    const asked = [];
    const server = converse(codex, ['app-server', ...quiet, ...nobody, ...feature], at, (method, params) => {
      asked.push({ method, ...params });
      return { action: 'accept', content: { name: 'Ana' }, _meta: null };
    });
    let threadId;
    await check(`codex: ${era}: tools, resources and templates`, async () => {
      const clientInfo = { name: 'certosa-clients', version: '1' };
      await server.request('initialize', { clientInfo, capabilities: { experimentalApi: true } });
      server.notify('initialized');
      const { data } = await server.request('mcpServerStatus/list', {});
      assert.deepEqual(data.map((status) => status.name).sort(), ['certosa', 'certosa-stdio']);
      for (const { tools, resources, resourceTemplates } of data) {
        assert.deepEqual(Object.keys(tools).sort(), TOOLS);
        assert.deepEqual(resources.map((resource) => resource.uri), RESOURCES);
        assert.deepEqual(resourceTemplates.map((item) => item.uriTemplate), TEMPLATES);
      }
      threadId = (await server.request('thread/start', { ephemeral: true })).thread.id;
    });
    for (const name of ['certosa', 'certosa-stdio']) {
      const call = (tool, arguments_) =>
        server.request('mcpServer/tool/call', { threadId, server: name, tool, arguments: arguments_ });
      await check(`codex: ${era}: ${name}: a call`, async () => {
        for (const [tool, args, said] of CALLS) {
          const result = await call(tool, args);
          assert.ok(text(result).includes(said), `${tool}: ${text(result)}`);
        }
      });
      await check(`codex: ${era}: ${name}: a resource`, async () => {
        const uri = 'hello://greeting/french';
        const { contents } = await server.request('mcpServer/resource/read', { threadId, server: name, uri });
        assert.equal(contents[0].text, 'Bonjour');
      });
      await check(`codex: ${era}: ${name}: a question`, async () => {
        assert.equal(text(await call('hello_introduce', {})), 'Hello, Ana!');
        const [{ method, serverName }] = asked;
        assert.deepEqual([method, serverName], ['mcpServer/elicitation/request', name]);
        isTheForm(asked.splice(0));
      });
    }
    await server.end();
  }
}

/** It connects and says whether that worked. More needs an account. */
async function asGemini() {
  const gemini = program('@google/gemini-cli/bundle/gemini.js');
  // Instead of the question whether a folder is trusted.
  const env = { GEMINI_CLI_TRUST_WORKSPACE: 'true' };
  // It writes what it finds to standard error.
  const mcp = async (options, ...args) =>
    (await succeed(process.execPath, [gemini, 'mcp', ...args], { env, ...options })).stderr;
  const both = (list) => {
    assert.match(list, /certosa: .*\(http\) - Connected/);
    assert.match(list, /certosa-stdio: .*\(stdio\) - Connected/);
  };

  await check('gemini: settings.json', async () => {
    const at = { home: join(work, 'gemini'), cwd: join(work, 'gemini-project') };
    write(join(at.home, '.gemini/settings.json'), sample('gemini.settings.json', house));
    both(await mcp(at, 'list'));
  });
  await check('gemini: gemini mcp add', async () => {
    const at = { home: join(work, 'gemini-add'), cwd: join(work, 'gemini-add-project') };
    await mcp(at, 'add', '--transport', 'http', 'certosa', url);
    await mcp(at, 'add', 'certosa-stdio', 'certosa', 'stdio', resolve(manifest));
    await mcp(at, 'add', '--transport', 'http', 'nowhere', await nowhere());
    const list = await mcp(at, 'list');
    both(list);
    assert.match(list, /nowhere: .*\(http\) - Disconnected/);
  });
}

endAfter(300_000);
await asAnSdk();
for (const [name, run] of Object.entries({ 'claude-code': asClaudeCode, codex: asCodex, gemini: asGemini })) {
  if (without.includes(name)) console.log(`not tried: ${name}`);
  else await run();
}
