// Programs that are run by the scripts in this folder: in a scratch folder, with an environment that has nothing
// of the person who runs the tests, and never for longer than a time limit.

import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';

const TIME_MAX_MS = 20_000;

/** What the samples in `config` name. */
const SAMPLE_URL = 'http://127.0.0.1:8787/mcp';
const SAMPLE_MANIFEST = '/path/to/manifest.capnp';

/** A folder for the length of this script. On the search path is its `bin`, in which `certosa` is the binary. */
export function scratch(certosa) {
  const folder = mkdtempSync(join(tmpdir(), 'certosa-clients-'));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));
  mkdirSync(join(folder, 'bin'));
  symlinkSync(resolve(certosa), join(folder, 'bin/certosa'));
  process.env.PATH = [join(folder, 'bin'), dirname(process.execPath), process.env.PATH].join(delimiter);
  return folder;
}

/** Writes a file and the folders that it is in. */
export function write(path, content) {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
}

/** A sample of `config`, with a house in place of the one that it names. */
export function sample(name, { manifest, url }) {
  const text = readFileSync(join(import.meta.dirname, 'config', name), 'utf8');
  for (const named of [SAMPLE_URL, SAMPLE_MANIFEST]) assert.ok(text.includes(named), `${name} does not name ${named}`);
  return text.replaceAll(SAMPLE_URL, url).replaceAll(SAMPLE_MANIFEST, resolve(manifest));
}

/** Runs a program to its end, whatever that is: `{ code, stdout, stderr }`. */
export function run(command, args, { home, cwd = home, env = {} }) {
  mkdirSync(home, { recursive: true });
  mkdirSync(cwd, { recursive: true });
  const options = { cwd, env: clean(home, env), timeout: TIME_MAX_MS, killSignal: 'SIGKILL' };
  return new Promise((done) => {
    const child = execFile(command, args, options, (error, stdout, stderr) => {
      done({ code: error ? (error.code ?? error.signal) : 0, stdout, stderr });
    });
    child.stdin.end();
  });
}

/** The same for a program that has to succeed. */
export async function succeed(command, args, options) {
  const ran = await run(command, args, options);
  assert.equal(ran.code, 0, `${args.join(' ')}: exit code ${ran.code}\n${ran.stdout}${ran.stderr}`);
  return ran;
}

/**
 * Starts a program that speaks JSON-RPC on its standard input and output, one message a line. `answer` is
 * given the method and the parameters of what it asks.
 */
export function converse(command, args, { home, cwd = home, env = {} }, answer) {
  mkdirSync(home, { recursive: true });
  const child = spawn(command, args, { cwd, env: clean(home, env), stdio: ['pipe', 'pipe', 'pipe'] });
  const waiting = new Map();
  let stderr = '';
  child.stderr.on('data', (part) => (stderr += part));
  child.stdin.on('error', () => {});
  const say = (message) => child.stdin.write(`${JSON.stringify(message)}\n`);
  createInterface({ input: child.stdout }).on('line', (line) => {
    const message = JSON.parse(line);
    if (message.method && message.id !== undefined) {
      say({ id: message.id, result: answer(message.method, message.params) });
    } else {
      waiting.get(message.id)?.(message);
    }
  });
  let id = 0;
  const request = async (method, params) => {
    const number = ++id;
    const { error, result } = await new Promise((done, fail) => {
      const late = () => fail(new Error(`no answer to ${method}\n${stderr}`));
      const timer = setTimeout(late, TIME_MAX_MS);
      waiting.set(number, (message) => (clearTimeout(timer), done(message)));
      say({ id: number, method, params });
    });
    assert.ok(!error, `${method}: ${JSON.stringify(error)}`);
    return result;
  };
  const ended = new Promise((done) => child.once('exit', done));
  const end = () => (child.kill(), ended);
  return { request, notify: (method) => say({ method }), end };
}

function clean(home, env) {
  return { PATH: process.env.PATH, HOME: home, LANG: 'C.UTF-8', ...env };
}
