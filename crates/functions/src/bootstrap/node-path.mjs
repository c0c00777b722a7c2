// Has `import` look into the folders of NODE_PATH, in versions of Node that take hooks from a file alone; `node.cjs` has the
// same for newer ones.
import { createRequire } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

let folders = [];
let find;

export async function initialize(given) {
  folders = given.folders;
  find = createRequire(path.join(given.taskRoot, 'x')).resolve;
}

export async function resolve(specifier, context, next) {
  try {
    return await next(specifier, context);
  } catch (error) {
    if (error.code !== 'ERR_MODULE_NOT_FOUND' || /^([./#]|[a-z][a-z0-9+.-]*:)/i.test(specifier)) throw error;
    for (const folder of folders) {
      const beside = pathToFileURL(path.join(path.dirname(folder), 'x.mjs')).href;
      try {
        if (path.basename(folder) === 'node_modules') return await next(specifier, { ...context, parentURL: beside });
      } catch {
        // Perhaps the next one has it.
      }
    }
    try {
      return await next(pathToFileURL(find(specifier)).href, context);
    } catch {
      throw error;
    }
  }
}
