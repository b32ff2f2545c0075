// The official TypeScript SDKs, in both eras, against a house that may use a GitHub: an issue is opened, read,
// commented on and listed, and what attempts to get at the token comes back without it.
//
//   node issue.mjs URL GITHUB [PACKAGES]
//
// GITHUB is where the API is; the house has the token, this script has not.

import assert from 'node:assert/strict';

import { check, connect, endAfter, eras, text } from './common.mjs';

const [address, api, folder = import.meta.dirname] = process.argv.slice(2);
if (!api) {
  console.error('usage: node issue.mjs URL GITHUB [PACKAGES]');
  process.exit(2);
}

endAfter(60_000);
const { modern, legacy } = eras(folder);
for (const sdk of [modern, legacy]) {
  const { client, close } = await connect(sdk, sdk.http(address));
  const call = async (name, more) => {
    const result = await client.callTool({ name, arguments: { owner: 'ana', repo: 'house', api, ...more } });
    assert.ok(!result.isError, JSON.stringify(result));
    return result.structuredContent;
  };
  const title = `The hatch is stuck (${sdk.era})`;
  await check(`${sdk.era}: an issue is opened, commented on, read and listed`, async () => {
    const { number } = await call('github_create_issue', { title, body: 'Since yesterday.' });
    await call('github_comment', { number, body: 'Oil?' });
    const read = await call('github_read_issue', { number });
    assert.equal(read.issue.title, title);
    assert.equal(read.comments[0].body.text, 'Oil?');
    const { issues } = await call('github_list_issues', {});
    assert.ok(issues.some((issue) => issue.title === title), JSON.stringify(issues));
  });
  await check(`${sdk.era}: another bundle gets at the token neither by an echo nor by a redirect`, async () => {
    const authority = new URL(api).host;
    const request = { scheme: 'https', authority, path: '/echo', method: 'POST', body: 'mine' };
    const echo = await client.callTool({ name: 'errand_fetch', arguments: request });
    assert.match(text(echo), /\[redacted\]/);
    const away = { ...request, method: 'GET', authority: `127.0.0.1:${new URL(api).port}` };
    const refused = await client.callTool({ name: 'errand_fetch', arguments: away });
    assert.match(text(refused), /HttpRequestDenied/);
  });
  await close();
}
