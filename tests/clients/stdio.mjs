// The official TypeScript SDKs with their stdio transports, in both eras of the protocol: a house in the process
// that they start (`certosa stdio MANIFEST`), and the bridge to a running one (`certosa stdio --url URL`).
//
//   node stdio.mjs CERTOSA MANIFEST URL [PACKAGES]
//
// CERTOSA is the binary; MANIFEST and the house at URL have the demo tools. PACKAGES is the folder where
// package.json was installed: this one, unless said otherwise.

import assert from 'node:assert/strict';

import { check, connect, endAfter, eras, nowhere, soon, useShortly } from './common.mjs';

const [certosa, manifest, url, folder = import.meta.dirname] = process.argv.slice(2);
if (!url) {
  console.error('usage: node stdio.mjs CERTOSA MANIFEST URL [PACKAGES]');
  process.exit(2);
}

function isGone(pid) {
  try {
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return error.code === 'ESRCH';
  }
}

endAfter(60_000);
const { modern, legacy } = eras(folder);
for (const [what, args] of [
  ['in process', ['stdio', manifest]],
  ['bridge', ['stdio', '--url', url]],
]) {
  for (const sdk of [modern, legacy]) {
    await check(`${sdk.era}: ${what}: tools, a prompt, a resource and a question`, () =>
      useShortly(sdk, sdk.stdio(certosa, args)));
    await check(`${sdk.era}: ${what}: many calls at once each get their own answer`, async () => {
      const { client, close } = await connect(sdk, sdk.stdio(certosa, args));
      const texts = Array.from({ length: 20 }, (_, number) => `call ${number}`);
      const calls = texts.map((text) => client.callTool({ name: 'hello_echo', arguments: { text } }));
      assert.deepEqual((await Promise.all(calls)).map((result) => result.content[0].text), texts);
      await close();
    });
    await check(`${sdk.era}: ${what}: the process ends when its input does`, async () => {
      const transport = sdk.stdio(certosa, args);
      const { close } = await connect(sdk, transport);
      const pid = transport.pid;
      assert.ok(pid && !isGone(pid));
      const started = performance.now();
      await close();
      assert.ok(await soon(() => isGone(pid)), `process ${pid} is still there`);
      // An SDK waits two seconds before it ends a process that does not go by itself.
      assert.ok(performance.now() - started < 1900, 'the process had to be told with a signal');
    });
  }
}
for (const sdk of [modern, legacy]) {
  await check(`${sdk.era}: bridge: a house that is not there is an error, not a wait`, async () => {
    const address = await nowhere();
    await assert.rejects(connect(sdk, sdk.stdio(certosa, ['stdio', '--url', address])), (error) => {
      assert.ok(error.message.includes(`the house at ${address} does not answer`), error.message);
      return true;
    });
  });
}
