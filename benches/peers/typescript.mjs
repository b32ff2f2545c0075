// The echo tool on the TypeScript SDK's own server: stateless streamable HTTP with JSON answers.
//
//   node typescript.mjs PACKAGES     (the folder where package.json was installed)

import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { resolve } from 'node:path';

const packages = createRequire(resolve(process.argv[2], 'package.json'));
const { createMcpHandler, McpServer } = packages('@modelcontextprotocol/server');
const { toNodeHandler } = packages('@modelcontextprotocol/node');
const { z } = packages('zod');

const inputSchema = z.object({ text: z.string().describe('The text to return.') });

// The handler asks for a server of its own for each request.
function make() {
  const server = new McpServer({ name: 'echo', version: '1.0.0' });
  const description = 'Returns the text that it was given.';
  server.registerTool('echo', { description, inputSchema }, ({ text }) => ({ content: [{ type: 'text', text }] }));
  return server;
}

const server = createServer(toNodeHandler(createMcpHandler(make)));
server.listen(0, '127.0.0.1', () => {
  console.log(JSON.stringify({ address: `127.0.0.1:${server.address().port}` }));
});
