// Makes a component of a module and a WIT file.
//
//   node build.mjs MODULE WIT OUT [PACKAGES]
//
// PACKAGES is the folder where @bytecodealliance/componentize-js was installed: this one, unless said otherwise.
// `jco componentize` does the same; it is not used because jco 1.35.0 finds no WIT file: its WASI shows it no folders.

import { readFile, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';

if (process.argv.length < 5) {
  console.error('usage: node build.mjs MODULE WIT OUT [PACKAGES]');
  process.exit(2);
}
const [module, wit, out, folder = import.meta.dirname] = process.argv.slice(2).map((path) => resolve(path));

// Its exports are for `import` only, which `createRequire` does not see.
const componentizeJs = join(folder, 'node_modules/@bytecodealliance/componentize-js/src/componentize.js');
const { componentize } = await import(componentizeJs);

// Its temporary files have to be reached from the working directory, and errors name the module from there.
process.chdir(dirname(module));

const { component } = await componentize(await readFile(module, 'utf8'), {
  sourceName: basename(module),
  witWorld: await readFile(wit, 'utf8'),
  // A bundle has no network; with `http` or `fetch-event` the component would import or export wasi:http.
  disableFeatures: ['http', 'fetch-event'],
});
await writeFile(out, component);
