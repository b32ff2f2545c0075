// Runs one bundle on an edge runtime: GET lists its tools, POST {"name", "arguments"} calls one of them.

import { cli, clocks, filesystem, io, random, sockets } from './shim/index.js';
import { instantiate } from './tool.js';

// jco asks for `wasi:cli/terminal-input` where the shim has `cli.terminalInput`.
const kebab = (name) => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
const wasi = Object.entries({ cli, clocks, filesystem, io, random, sockets }).flatMap(([name, interfaces]) =>
  Object.entries(interfaces).map(([key, functions]) => [`wasi:${name}/${kebab(key)}`, functions]),
);

// workerd compiles no wasm while it runs, so the core modules are modules of the worker.
const getCoreModule = async (name) => (await import(`./${name}`)).default;

export default {
  async fetch(request) {
    const progress = [];
    const log = [];
    const imports = {
      ...Object.fromEntries(wasi),
      'certosa:tools/progress': { report: (done, total, message) => progress.push({ done, total, message }) },
      'certosa:tools/log': { write: (level, data) => log.push({ level, data }) },
    };
    try {
      // An instance serves one request, as a cell does.
      const { tools } = await instantiate(getCoreModule, imports);
      if (request.method === 'GET') return Response.json({ tools: tools.listTools() });
      const { name, arguments: args } = await request.json();
      const call = { name, arguments: JSON.stringify(args), answers: [], askable: {} };
      return Response.json({ outcome: tools.callTool(call), progress, log });
    } catch (error) {
      // What a component returns as its error, jco throws with the value as `payload`.
      if (error.payload === undefined) throw error;
      return Response.json({ refusal: error.payload, progress, log });
    }
  },
};
