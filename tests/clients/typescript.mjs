// The official TypeScript SDKs against a house with the demo tools, in both eras of the protocol.
//
//   node typescript.mjs URL [PACKAGES]
//
// PACKAGES is the folder where package.json was installed: this one, unless said otherwise.

import assert from 'node:assert/strict';

import {
  INVALID_PARAMS, PROMPTS, RESOURCES, TEMPLATES, TOOLS, check, connect, endAfter, eras, isTheForm, text, useEveryBundle,
} from './common.mjs';

const [address, folder = import.meta.dirname] = process.argv.slice(2);
if (!address) {
  console.error('usage: node typescript.mjs URL [PACKAGES]');
  process.exit(2);
}

const LANGUAGES = ['english', 'french', 'german', 'italian', 'spanish'];

async function useTools({ era, RpcError }, client) {
  await check(`${era}: tools/list`, async () => {
    const { tools } = await client.listTools();
    assert.deepEqual(tools.map((tool) => tool.name).sort(), TOOLS);
    assert.deepEqual(tools.find((tool) => tool.name === 'hello_greet').inputSchema.required, ['name']);
  });
  await check(`${era}: a call`, async () => {
    const result = await client.callTool({ name: 'hello_greet', arguments: { name: 'Ana' } });
    assert.equal(text(result), 'Hello, Ana!');
    assert.ok(!result.isError);
  });
  await check(`${era}: text beyond ASCII, quotes and line breaks come back as they went`, async () => {
    const said = 'Grüße, 世界 🏔 "\\\n\u2028';
    assert.equal(text(await client.callTool({ name: 'hello_echo', arguments: { text: said } })), said);
  });
  await check(`${era}: a call with nested arguments`, async () => {
    const items = [
      { kind: 'a', price: 11 },
      { kind: 'b', price: 12 },
      { kind: 'a', price: 30 },
      { kind: 'c', price: 1 },
    ];
    const filter = '[.items[] | select(.price > 10)] | group_by(.kind) | map({(.[0].kind): map(.price) | add}) | add';
    const result = await client.callTool({ name: 'jq_query', arguments: { filter, input: { items } } });
    assert.deepEqual(JSON.parse(text(result)), { a: 41, b: 12 });
  });
  await check(`${era}: arguments that do not fit are a tool error that says what is wrong`, async () => {
    const missing = await client.callTool({ name: 'hello_greet', arguments: {} });
    assert.equal(missing.isError, true);
    assert.match(text(missing), /name.*required/);
    const wrong = await client.callTool({ name: 'hello_greet', arguments: { name: 3 } });
    assert.equal(wrong.isError, true);
    assert.match(text(wrong), /name.*string/);
  });
  await check(`${era}: what a tool cannot do is a tool error that says why`, async () => {
    const result = await client.callTool({ name: 'jq_query', arguments: { filter: '.items[', input: {} } });
    assert.equal(result.isError, true);
    assert.match(text(result), /character/);
  });
  await check(`${era}: an unknown tool is a protocol error`, () =>
    refuses(client.callTool({ name: 'nothing_here', arguments: {} }), RpcError, INVALID_PARAMS, /nothing_here/));
}

async function usePrompts({ era, RpcError }, client) {
  const get = (values, name = 'hello_welcome') => client.getPrompt({ name, arguments: values });
  const complete = async (argument) => {
    const { completion } = await client.complete({ ref: { type: 'ref/prompt', name: 'hello_welcome' }, argument });
    assert.equal(completion.total, completion.values.length);
    assert.equal(completion.hasMore, false);
    return completion.values;
  };
  await check(`${era}: prompts/list`, async () => {
    const { prompts } = await client.listPrompts();
    assert.deepEqual(prompts.map((prompt) => prompt.name), PROMPTS);
    const known = prompts[0].arguments.map(({ name, required }) => [name, required ?? false]);
    assert.deepEqual(known, [['name', true], ['language', false]]);
    assert.ok(prompts[0].title && prompts[0].description);
  });
  await check(`${era}: prompts/get without the optional argument, and with it`, async () => {
    const [english, ...others] = (await get({ name: 'Ana' })).messages;
    assert.deepEqual(others, []);
    assert.equal(english.role, 'user');
    assert.match(english.content.text, /^Hello, Ana! .*english/);
    const [french] = (await get({ name: 'Ana', language: 'french' })).messages;
    assert.match(french.content.text, /^Bonjour, Ana! .*french/);
  });
  await check(`${era}: prompts/get with a wrong argument, without a needed one and of nothing`, async () => {
    await refuses(get({ name: 'Ana', language: 'klingon' }), RpcError, INVALID_PARAMS, /klingon/);
    await refuses(get({}), RpcError, INVALID_PARAMS, /name/);
    await refuses(get({}, 'nothing_here'), RpcError, INVALID_PARAMS, /nothing_here/);
  });
  await check(`${era}: completion of a prompt's argument`, async () => {
    assert.deepEqual(await complete({ name: 'language', value: '' }), LANGUAGES);
    assert.deepEqual(await complete({ name: 'language', value: 'g' }), ['german']);
    assert.deepEqual(await complete({ name: 'language', value: 'x' }), []);
    assert.deepEqual(await complete({ name: 'name', value: '' }), []);
  });
}

async function useResources({ era, RpcError, notFound }, client) {
  const template = 'hello://greeting/{language}';
  await check(`${era}: resources/list`, async () => {
    const { resources } = await client.listResources();
    assert.deepEqual(resources.map(({ uri }) => uri), RESOURCES);
    const about = resources.find(({ uri }) => uri === 'hello://about');
    assert.deepEqual([about.mimeType, about.annotations.priority], ['text/markdown', 0.2]);
  });
  await check(`${era}: resources/templates/list`, async () => {
    const { resourceTemplates } = await client.listResourceTemplates();
    assert.deepEqual(resourceTemplates.map(({ uriTemplate }) => uriTemplate), TEMPLATES);
    assert.equal(resourceTemplates[0].mimeType, 'text/plain');
  });
  await check(`${era}: resources/read of a resource and of a template`, async () => {
    const [about, ...others] = (await client.readResource({ uri: 'hello://about' })).contents;
    assert.deepEqual(others, []);
    assert.deepEqual([about.uri, about.mimeType], ['hello://about', 'text/markdown']);
    assert.match(about.text, /^# hello\n/);
    const { contents } = await client.readResource({ uri: 'hello://greeting/french' });
    assert.deepEqual(contents, [{ uri: 'hello://greeting/french', mimeType: 'text/plain', text: 'Bonjour' }]);
  });
  await check(`${era}: resources/read of what is not there`, async () => {
    for (const uri of ['hello://greeting/klingon', 'hello://nothing', 'other://about']) {
      const error = await refuses(client.readResource({ uri }), RpcError, notFound, /resource/);
      assert.deepEqual(error.data, { uri });
    }
  });
  await check(`${era}: completion of a template's variable`, async () => {
    const complete = async (value) => {
      const ref = { type: 'ref/resource', uri: template };
      return (await client.complete({ ref, argument: { name: 'language', value } })).completion.values;
    };
    assert.deepEqual(await complete(''), LANGUAGES);
    assert.deepEqual(await complete('it'), ['italian']);
  });
}

/** The tool that asks for a name, at clients whose person answers, declines, walks away or cannot be asked. */
async function beAsked(sdk, url) {
  for (const [who, answer, greeting] of [
    ['answers', { action: 'accept', content: { name: 'Zoë' } }, 'Hello, Zoë!'],
    ['declines', { action: 'decline' }, 'Hello, whoever you are!'],
    ['cancels', { action: 'cancel' }, 'Hello, whoever you are!'],
    ['cannot be asked', undefined, 'Hello, whoever you are!'],
  ]) {
    await check(`${sdk.era}: a tool asks a client that ${who}`, async () => {
      const { client, asked, close } = await connect(sdk, sdk.http(url), answer);
      const result = await client.callTool({ name: 'hello_introduce', arguments: {} });
      assert.equal(text(result), greeting);
      assert.ok(!result.isError);
      if (answer) isTheForm(asked);
      await close();
    });
  }
}

/** The error that a request ends with, which must be one of the protocol. */
async function refuses(request, RpcError, code, message) {
  const outcome = await request.then((result) => ({ result }), (error) => ({ error }));
  assert.ok(outcome.error, `no error, but ${JSON.stringify(outcome.result)}`);
  assert.ok(outcome.error instanceof RpcError, String(outcome.error));
  assert.equal(outcome.error.code, code);
  assert.match(outcome.error.message, message);
  return outcome.error;
}

async function use(sdk, url) {
  const { era } = sdk;
  const transport = sdk.http(url);
  let connected;
  await check(`${era}: connect`, async () => (connected = await connect(sdk, transport)));
  const { client, agreed, close } = connected;
  await check(`${era}: version`, () => assert.equal(agreed(), sdk.version));
  await check(`${era}: the server says who it is`, () => assert.equal(client.getServerVersion().name, 'certosa'));
  await useTools(sdk, client);
  await usePrompts(sdk, client);
  await useResources(sdk, client);
  await check(`${era}: something of every bundle`, () => useEveryBundle(client));
  if (era === 'legacy') {
    // The newer era has neither ping nor sessions.
    await check('legacy: ping', async () => assert.deepEqual(await client.ping(), {}));
  }
  const session = transport.sessionId;
  await check(`${era}: close`, close);
  await beAsked(sdk, url);
  return session;
}

endAfter(60_000);
const { modern, legacy } = eras(folder);
await use(modern, address);
const session = await use(legacy, address);
await check('legacy: a closed session is gone', async () => {
  assert.ok(session);
  const late = legacy.client({});
  // With a session the transport takes the handshake for done.
  await late.connect(legacy.http(address, { sessionId: session }));
  await assert.rejects(late.ping(), { code: 404 });
  await late.close();
});
