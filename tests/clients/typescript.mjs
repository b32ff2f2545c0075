// The official TypeScript SDKs against a house with the demo tools, in both eras of the protocol.
//
//   node typescript.mjs URL [PACKAGES]
//
// PACKAGES is the folder where package.json was installed: this one, unless said otherwise.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { resolve } from 'node:path';

const [address, folder = import.meta.dirname] = process.argv.slice(2);
if (!address) {
  console.error('usage: node typescript.mjs URL [PACKAGES]');
  process.exit(2);
}

// `import` looks for packages only around this file.
const packages = createRequire(resolve(folder, 'package.json'));
const { Client, ProtocolError, StreamableHTTPClientTransport } = packages('@modelcontextprotocol/client');
const { Client: OldClient } = packages('@modelcontextprotocol/sdk/client/index.js');
const { StreamableHTTPClientTransport: OldTransport } = packages('@modelcontextprotocol/sdk/client/streamableHttp.js');
const { McpError } = packages('@modelcontextprotocol/sdk/types.js');

const TIME_MAX_MS = 30_000;
const INVALID_PARAMS = -32602;

const clientInfo = { name: 'certosa-clients', version: '1' };

async function check(name, run) {
  try {
    await run();
    console.log(`ok ${name}`);
  } catch (error) {
    console.error(`not ok ${name}\n${error.message}`);
    process.exit(1);
  }
}

/** The one text of a result. */
function text(result) {
  assert.equal(result.content.length, 1, JSON.stringify(result));
  assert.equal(result.content[0].type, 'text');
  return result.content[0].text;
}

/** What is the same in both eras. */
async function useTools(era, client, RpcError) {
  await check(`${era}: the server says who it is`, () => assert.equal(client.getServerVersion().name, 'certosa'));
  await check(`${era}: tools/list`, async () => {
    const { tools } = await client.listTools();
    assert.deepEqual(tools.map((tool) => tool.name).sort(), ['hello_echo', 'hello_greet', 'jq_query']);
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
  await check(`${era}: an unknown tool is a protocol error`, async () => {
    const call = client.callTool({ name: 'nothing_here', arguments: {} });
    await assert.rejects(call, (error) => {
      assert.ok(error instanceof RpcError, String(error));
      assert.equal(error.code, INVALID_PARAMS);
      assert.match(error.message, /nothing_here/);
      return true;
    });
  });
}

async function modern(url) {
  const client = new Client(clientInfo, { versionNegotiation: { mode: 'auto' } });
  const complaints = [];
  client.onerror = (error) => complaints.push(error.message);
  // Left to choose, the client must come to the newer era.
  await check('modern: connect', () => client.connect(new StreamableHTTPClientTransport(url)));
  await check('modern: version', () => assert.equal(client.getNegotiatedProtocolVersion(), '2026-07-28'));
  await useTools('modern', client, ProtocolError);
  await check('modern: close', async () => {
    assert.deepEqual(complaints, []);
    await client.close();
  });
}

async function legacy(url) {
  const client = new OldClient(clientInfo);
  const transport = new OldTransport(url);
  const complaints = [];
  client.onerror = (error) => complaints.push(error.message);
  await check('legacy: connect', () => client.connect(transport));
  await check('legacy: version', () => assert.equal(transport.protocolVersion, '2025-11-25'));
  await useTools('legacy', client, McpError);
  await check('legacy: ping', async () => assert.deepEqual(await client.ping(), {}));
  const session = transport.sessionId;
  await check('legacy: close', async () => {
    await transport.terminateSession();
    // Only now: this SDK reports its own closing of its stream as an error.
    assert.deepEqual(complaints, []);
    await client.close();
  });
  await check('legacy: a closed session is gone', async () => {
    const late = new OldClient(clientInfo);
    // With a session the transport takes the handshake for done.
    await late.connect(new OldTransport(url, { sessionId: session }));
    await assert.rejects(late.ping(), { code: 404 });
    await late.close();
  });
}

// It does not keep the process alive, and fires only if something else does: a request without an answer or
// a stream that was not closed.
setTimeout(() => {
  console.error(`not ok: still busy after ${TIME_MAX_MS} ms`);
  process.exit(1);
}, TIME_MAX_MS).unref();

await modern(new URL(address));
await legacy(new URL(address));
