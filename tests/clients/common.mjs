// What the scripts in this folder share: checks, the official TypeScript SDK of each era, and a short use of
// the demo house.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { resolve } from 'node:path';

export const INVALID_PARAMS = -32602;
/** What the older era says of a resource that is not there; the newer era says INVALID_PARAMS. */
export const RESOURCE_NOT_FOUND = -32002;

/** What the demo house offers. */
export const TOOLS = [
  'calc_bases', 'calc_convert', 'calc_evaluate', 'hello_echo', 'hello_greet', 'hello_introduce', 'jq_query',
  'page_article', 'page_links', 'page_outline', 'page_to_html', 'page_to_markdown', 'table_describe', 'table_query',
  'text_best_matches', 'text_compare', 'text_diff', 'text_replace', 'text_search', 'time_add', 'time_convert',
  'time_difference', 'time_format', 'time_now',
];
export const PROMPTS = ['hello_welcome', 'table_explore_table', 'text_review_changes'];
export const RESOURCES = ['calc://syntax', 'calc://units', 'hello://about', 'table://sql', 'time://zones'];
export const TEMPLATES = ['hello://greeting/{language}', 'time://zones/{+zone}'];

/** A call of each bundle: the tool, its arguments, what its text has in it, and its structured content. */
export const CALLS = [
  ['calc_evaluate', { expression: '1/3 + 1/6 to fraction' }, '1/2'],
  ['hello_greet', { name: 'Ana' }, 'Hello, Ana!'],
  ['jq_query', { filter: '.a', input: { a: [1, { b: null }] } }, '[1,{"b":null}]'],
  ['page_to_markdown', { html: '<h1>Hi</h1><p>a <b>b</b></p>' }, '# Hi\n\na **b**'],
  [
    'table_query',
    {
      tables: [{ name: 'sales', data: 'city,amount\nRome,3\nBari,4.5\nRome,1' }],
      sql: 'SELECT city, SUM(amount) AS total FROM sales GROUP BY city ORDER BY total DESC',
    },
    'Bari',
    { rows: [['Bari', 4.5], ['Rome', 4]] },
  ],
  ['text_diff', { old: 'a\nb\n', new: 'a\nc\n' }, '-b\n+c'],
  [
    'time_add',
    { time: '2024-01-31', duration: '1 month' },
    '2024-02-29',
    { time: '2024-02-29T00:00:00+00:00[UTC]' },
  ],
];

const clientInfo = { name: 'certosa-clients', version: '1' };

export async function check(name, run) {
  try {
    await run();
    console.log(`ok ${name}`);
  } catch (error) {
    console.error(`not ok ${name}\n${error.message}`);
    process.exit(1);
  }
}

/** Ends the script if it is still busy then: a request without an answer, or a stream that was not closed. */
export function endAfter(milliseconds) {
  setTimeout(() => {
    console.error(`not ok: still busy after ${milliseconds} ms`);
    process.exit(1);
  }, milliseconds).unref();
}

/** Waits until `holds`, for things that happen a moment after they were asked for. */
export async function soon(holds) {
  for (let tries = 0; tries < 100 && !holds(); tries++) await new Promise((done) => setTimeout(done, 20));
  return holds();
}

/** The address of a house that is not there: the port was free a moment ago. */
export async function nowhere() {
  const server = createServer();
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address();
  await new Promise((done) => server.close(done));
  return `http://127.0.0.1:${port}/mcp`;
}

/** The one text of a result. */
export function text(result) {
  assert.equal(result.content.length, 1, JSON.stringify(result));
  assert.equal(result.content[0].type, 'text');
  return result.content[0].text;
}

/** Both eras, each as its SDK speaks it. `packages` is a `require` for the folder of the packages. */
export function eras(folder) {
  // `import` looks for packages only around this file.
  const packages = createRequire(resolve(folder, 'package.json'));
  const { Client, ProtocolError, StreamableHTTPClientTransport } = packages('@modelcontextprotocol/client');
  const { StdioClientTransport } = packages('@modelcontextprotocol/client/stdio');
  const { Client: OldClient } = packages('@modelcontextprotocol/sdk/client/index.js');
  const { StreamableHTTPClientTransport: OldHttp } = packages('@modelcontextprotocol/sdk/client/streamableHttp.js');
  const { StdioClientTransport: OldStdio } = packages('@modelcontextprotocol/sdk/client/stdio.js');
  const { ElicitRequestSchema, McpError } = packages('@modelcontextprotocol/sdk/types.js');
  const modern = {
    era: 'modern',
    version: '2026-07-28',
    notFound: INVALID_PARAMS,
    RpcError: ProtocolError,
    // Left to choose, the client must come to the newer era.
    client: (capabilities) => new Client(clientInfo, { capabilities, versionNegotiation: { mode: 'auto' } }),
    onQuestion: (client, answer) => client.setRequestHandler('elicitation/create', answer),
    http: (url) => new StreamableHTTPClientTransport(new URL(url)),
    stdio: (command, args) => new StdioClientTransport({ command, args, stderr: 'inherit' }),
  };
  const legacy = {
    era: 'legacy',
    version: '2025-11-25',
    notFound: RESOURCE_NOT_FOUND,
    RpcError: McpError,
    client: (capabilities) => new OldClient(clientInfo, { capabilities }),
    onQuestion: (client, answer) => client.setRequestHandler(ElicitRequestSchema, answer),
    http: (url, options) => new OldHttp(new URL(url), options),
    stdio: (command, args) => new OldStdio({ command, args, stderr: 'inherit' }),
  };
  return { modern, legacy, packages };
}

/**
 * A connected client. `complaints` collects what an SDK does not throw but reports; `answer` is what the person
 * at this client says to a form, and without it the client cannot be asked; `asked` collects what was asked.
 */
export async function connect(sdk, transport, answer) {
  const client = sdk.client(answer ? { elicitation: { form: {} } } : {});
  const complaints = [];
  const asked = [];
  client.onerror = (error) => complaints.push(error.message);
  if (answer) {
    sdk.onQuestion(client, (request) => {
      asked.push(request.params);
      return answer;
    });
  }
  // The SDK tells its transport which version was agreed on. Not every transport of it listens.
  let version;
  const tell = transport.setProtocolVersion?.bind(transport);
  transport.setProtocolVersion = (agreed) => {
    version = agreed;
    tell?.(agreed);
  };
  await client.connect(transport);
  const agreed = () => client.getNegotiatedProtocolVersion?.() ?? version;
  /** Says goodbye, and fails if anything was complained about until then. */
  const close = async () => {
    await transport.terminateSession?.();
    // Only now: the older SDK reports its own closing of its stream as an error.
    const sofar = [...complaints];
    await client.close();
    assert.deepEqual(sofar, []);
  };
  return { client, asked, agreed, close };
}

export function isTheForm(asked) {
  assert.equal(asked.length, 1, `asked ${asked.length} times`);
  const [{ mode, message, requestedSchema }] = asked;
  assert.equal(mode, 'form');
  assert.equal(message, 'What is your name?');
  assert.equal(requestedSchema.properties.name.type, 'string');
  assert.deepEqual(requestedSchema.required, ['name']);
}

/** Something of every bundle of the demo house: tools, a prompt, a resource, a template and a completion. */
export async function useEveryBundle(client) {
  const names = async (list) => (await list).map((item) => item.name).sort();
  assert.deepEqual(await names(client.listTools().then(({ tools }) => tools)), TOOLS);
  for (const [name, args, said, structured = {}] of CALLS) {
    const result = await client.callTool({ name, arguments: args });
    assert.ok(!result.isError, JSON.stringify(result));
    assert.ok(text(result).includes(said), `${name}: ${text(result)}`);
    for (const [member, value] of Object.entries(structured)) {
      assert.deepEqual(result.structuredContent[member], value, name);
    }
  }
  assert.deepEqual(await names(client.listPrompts().then(({ prompts }) => prompts)), PROMPTS);
  const review = await client.getPrompt({ name: 'text_review_changes', arguments: { old: 'a\n', new: 'b\n' } });
  assert.match(review.messages[0].content.text, /\+b/);

  const { resources } = await client.listResources();
  assert.deepEqual(resources.map((resource) => resource.uri).sort(), RESOURCES);
  for (const uri of RESOURCES) {
    const { contents } = await client.readResource({ uri });
    assert.equal(contents[0].uri, uri);
    assert.ok(contents[0].text.length > 100, uri);
  }
  const { resourceTemplates } = await client.listResourceTemplates();
  assert.deepEqual(resourceTemplates.map((template) => template.uriTemplate).sort(), TEMPLATES);
  const rome = await client.readResource({ uri: 'time://zones/Europe/Rome' });
  assert.match(rome.contents[0].text, /\+0[12]/);
  const ref = { type: 'ref/resource', uri: 'time://zones/{+zone}' };
  const { completion } = await client.complete({ ref, argument: { name: 'zone', value: 'europe/r' } });
  assert.ok(completion.values.includes('Europe/Rome'), JSON.stringify(completion));
}

/** A little of everything over a transport that is not yet started, and its end. */
export async function useShortly(sdk, transport) {
  const answer = { action: 'accept', content: { name: 'Ana' } };
  const { client, asked, agreed, close } = await connect(sdk, transport, answer);
  assert.equal(client.getServerVersion().name, 'certosa');
  assert.equal(agreed(), sdk.version);

  await useEveryBundle(client);
  // One message is one line: line breaks must stay inside of it.
  const said = 'Grüße, 世界 🏔 "\\\r\n\u2028';
  assert.equal(text(await client.callTool({ name: 'hello_echo', arguments: { text: said } })), said);

  const prompt = await client.getPrompt({ name: 'hello_welcome', arguments: { name: 'Ana', language: 'french' } });
  assert.match(prompt.messages[0].content.text, /^Bonjour, Ana!/);
  const { contents } = await client.readResource({ uri: 'hello://greeting/french' });
  assert.equal(contents[0].text, 'Bonjour');
  await assert.rejects(client.readResource({ uri: 'hello://greeting/klingon' }), { code: sdk.notFound });

  assert.equal(text(await client.callTool({ name: 'hello_introduce', arguments: {} })), 'Hello, Ana!');
  isTheForm(asked);
  await close();
}
