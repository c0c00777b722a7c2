// Runs a Node handler. It talks to the gateway over file descriptors 3 and 4, sockets that it inherited, in messages that
// `link.rs` describes. Nobody else can reach them, and when the gateway ends in whatever way, they close and this process
// ends with it.
//
// A warm call costs one read and one write: between two invocations the process waits in a blocking read, without turns
// of its event loop, much as Lambda freezes it then. A handler that streams gets its events through the event loop
// instead, so that a slow reader of what it writes holds up nothing else. Several events may come at once; one is worked on
// at a time, and if its handler waits for something, those that have not begun are given back.
'use strict';

const fs = require('node:fs');
const path = require('node:path');
const util = require('node:util');
const { Writable } = require('node:stream');
const { pathToFileURL } = require('node:url');
const { createRequire } = require('node:module');
const { AsyncResource } = require('node:async_hooks');

const env = process.env;
const taskRoot = env.LAMBDA_TASK_ROOT;
const link = 3; // the file descriptor
const aside = 4; // the one for answers to all but the last of several events
let current; // the invocation being worked on
let handler;

// ---- the environment ----

// The trace id of an invocation is not in the real one: the C library would keep a copy of each for good.
const traceName = '_X_AMZN_TRACE_ID';
let traceId;

process.env = new Proxy(env, {
  get: (target, name) => (name === traceName ? traceId : target[name]),
  has: (target, name) => (name === traceName ? traceId !== undefined : name in target),
  set(target, name, value) {
    if (name === traceName) traceId = String(value);
    else target[name] = value;
    return true;
  },
  deleteProperty(target, name) {
    if (name === traceName) traceId = undefined;
    else delete target[name];
    return true;
  },
  ownKeys(target) {
    const names = Reflect.ownKeys(target);
    return traceId === undefined ? names : [...names, traceName];
  },
  getOwnPropertyDescriptor(target, name) {
    if (name !== traceName) return Reflect.getOwnPropertyDescriptor(target, name);
    if (traceId === undefined) return undefined;
    return { value: traceId, writable: true, enumerable: true, configurable: true };
  },
});
require('node:module').syncBuiltinESMExports();

// ---- errors as Lambda words them ----

class RuntimeError extends Error {
  constructor(type, message, cause, place) {
    super(message);
    this.name = `Runtime.${type}`;
    // Frames of this file say nothing to a function's author.
    const told = cause && cause.stack ? cause.stack : this.stack;
    const frames = told.split('\n').filter((line) => line.startsWith('    at ') && !line.includes(__filename));
    if (place) frames.unshift(`    at ${place}`);
    this.stack = [`${this.name}: ${message}`, ...frames].join('\n');
  }
}

// Callers see the paths that AWS would show; the log keeps the real ones.
const asOnLambda = (line) => line.replaceAll(taskRoot, '/var/task').replaceAll(__dirname, '/var/runtime');

function describe(error) {
  if (util.types.isNativeError(error) || error instanceof Error) {
    const described = { errorType: error.name, errorMessage: error.message };
    if (error.reason !== undefined) described.reason = error.reason;
    described.trace = String(error.stack || '').split('\n').map(asOnLambda);
    return described;
  }
  let message;
  try {
    message = String(error);
  } catch {
    message = 'Unknown error';
  }
  return { errorType: typeof error, errorMessage: message, trace: [] };
}

function toLog(error) {
  if (!(error instanceof Error) && !util.types.isNativeError(error)) return describe(error);
  return { errorType: error.name, errorMessage: error.message, ...error, stack: String(error.stack).split('\n') };
}

// ---- the console, in Lambda's line format; a line break inside of a message travels as a carriage return ----

const levels = { log: 'INFO', info: 'INFO', debug: 'DEBUG', warn: 'WARN', error: 'ERROR', trace: 'TRACE' };

function writeLog(level, message) {
  const time = new Date().toISOString();
  process.stdout.write(`${time}\t${current ? current.id : undefined}\t${level}\t${message.replaceAll('\n', '\r')}\n`);
}

for (const [method, level] of Object.entries(levels)) {
  console[method] = (...values) => writeLog(level, util.format(...values));
}

// ---- loading the handler ----

function isModulePackage(file) {
  for (let dir = path.dirname(file); ; dir = path.dirname(dir)) {
    const manifest = path.join(dir, 'package.json');
    if (fs.existsSync(manifest)) return JSON.parse(fs.readFileSync(manifest, 'utf8')).type === 'module';
    if (dir === path.dirname(dir)) return false;
  }
}

// As on Lambda, `import` looks into the folders of NODE_PATH too, where layers are. Node itself does so for `require` alone.
function importFromNodePath() {
  const nodeModule = require('node:module');
  const known = (folder) => folder && folder !== taskRoot && fs.existsSync(folder);
  const folders = (env.NODE_PATH || '').split(path.delimiter).filter(known);
  if (folders.length === 0) return;
  if (!nodeModule.registerHooks) {
    if (nodeModule.register) nodeModule.register(pathToFileURL(path.join(__dirname, 'node-path.mjs')), { data: { folders, taskRoot } });
    return;
  }
  const { resolve } = createRequire(path.join(taskRoot, 'x'));
  nodeModule.registerHooks({
    resolve(specifier, context, next) {
      try {
        return next(specifier, context);
      } catch (error) {
        if (error.code !== 'ERR_MODULE_NOT_FOUND' || /^([./#]|[a-z][a-z0-9+.-]*:)/i.test(specifier)) throw error;
        for (const folder of folders) {
          // A package is looked for from beside its folder, which tells Node what of it is for `import`.
          const beside = pathToFileURL(path.join(path.dirname(folder), 'x.mjs')).href;
          try {
            if (path.basename(folder) === 'node_modules') return next(specifier, { ...context, parentURL: beside });
          } catch {
            // Perhaps the next one has it.
          }
        }
        try {
          return next(pathToFileURL(resolve(specifier)).href, context);
        } catch {
          throw error;
        }
      }
    },
  });
}

async function loadModule(file) {
  const extension = path.extname(file);
  if (/^\.[cm]?ts$/.test(extension) && !process.features.typescript) {
    throw new RuntimeError('ImportModuleError',
      `${file} is TypeScript, which Node ${process.version} does not run: use Node 22.18 or newer, or compile it to .js`);
  }
  const isModule = extension.startsWith('.m') || (!extension.startsWith('.c') && isModulePackage(file));
  return isModule ? import(pathToFileURL(file).href) : createRequire(file)(file);
}

async function loadHandler() {
  const spec = env._HANDLER;
  const base = path.basename(spec);
  const dot = base.indexOf('.');
  if (dot < 1 || dot === base.length - 1 || spec.includes('..')) {
    throw new RuntimeError('MalformedHandlerName',
      `'${spec}' is not a valid handler name. It takes the form file.function, such as index.handler.`);
  }
  const stem = path.join(taskRoot, path.dirname(spec), base.slice(0, dot));
  const extensions = ['.js', '.mjs', '.cjs', '.ts', '.mts', '.cts'];
  const file = extensions.map((extension) => stem + extension).find((name) => fs.existsSync(name));
  let exported;
  try {
    importFromNodePath();
    exported = file ? await loadModule(file) : createRequire(path.join(taskRoot, 'x'))(stem);
  } catch (error) {
    if (error instanceof RuntimeError) throw error;
    if (error instanceof SyntaxError) {
      throw new RuntimeError('UserCodeSyntaxError', String(error), error, placeOf(error, file));
    }
    if (error && (error.code === 'MODULE_NOT_FOUND' || error.code === 'ERR_MODULE_NOT_FOUND')) {
      throw new RuntimeError('ImportModuleError', String(error), error);
    }
    throw error;
  }
  let found = exported;
  for (const part of base.slice(dot + 1).split('.')) found = found == null ? undefined : found[part];
  if (found == null && exported != null && exported.default != null) {
    found = exported.default;
    for (const part of base.slice(dot + 1).split('.')) found = found == null ? undefined : found[part];
  }
  if (found == null) throw new RuntimeError('HandlerNotFound', `${spec} is undefined or not exported`);
  if (typeof found !== 'function') throw new RuntimeError('HandlerNotFound', `${spec} is not a function`);
  return found;
}

// Where a syntax error is. The stack begins with file:line for CommonJS; for modules Node keeps the place to itself, so
// the handler's file and those it imports are parsed again until one fails.
function placeOf(error, file) {
  const place = /^(?:file:\/\/)?(\/.*:\d+)$/m;
  const told = place.exec(String(error.stack));
  if (told) return told[1];
  const { spawnSync } = require('node:child_process');
  const files = file ? [file] : [];
  for (let i = 0; i < files.length && i < 50; i += 1) {
    const parsed = spawnSync(process.execPath, ['--check', files[i]], { encoding: 'utf8', timeout: 2000 });
    if (parsed.status !== 0) return (place.exec(parsed.stderr) || [])[1];
    for (const [, name] of fs.readFileSync(files[i], 'utf8').matchAll(/['"](\.\.?\/[^'"]+\.[cm]?js)['"]/g)) {
      const imported = path.resolve(path.dirname(files[i]), name);
      if (!files.includes(imported) && fs.existsSync(imported)) files.push(imported);
    }
  }
  return undefined;
}

// ---- results in pieces ----

const streaming = Symbol.for('aws.lambda.runtime.handler.streaming');

// What a streaming handler writes to. Each piece leaves at once as a message, and so does an error after it.
class ResponseStream extends Writable {
  constructor(invocation, options) {
    super(options);
    this.invocation = invocation;
    this.contentType = 'application/octet-stream';
    this.prelude = undefined;
    this.begun = false;
  }

  setContentType(type) {
    this.contentType = type;
  }

  write(chunk, ...rest) {
    const bytes = typeof chunk === 'string' || chunk instanceof Uint8Array ? chunk : JSON.stringify(chunk);
    return super.write(bytes, ...rest);
  }

  // What has to leave before the first piece.
  begin() {
    if (this.begun) return [];
    this.begun = true;
    const begun = [message('C', this.contentType)];
    if (this.prelude !== undefined) begun.push(message('P', Buffer.concat([Buffer.from(this.prelude), Buffer.alloc(8)])));
    return begun;
  }

  _write(chunk, encoding, done) {
    socket.write(Buffer.concat([...this.begin(), message('P', chunk)]), done);
  }

  _final(done) {
    socket.write(Buffer.concat([...this.begin(), message('F', '')]), done);
  }

  // Ends a result that has begun, and tells why.
  abort(described, then) {
    socket.write(message('X', JSON.stringify(described)), then);
  }
}

globalThis.awslambda = {
  streamifyResponse(inner, options) {
    inner[streaming] = 'response';
    const { highWaterMark } = options || {};
    if (highWaterMark !== undefined) inner[Symbol.for('aws.lambda.runtime.handler.streaming.highWaterMark')] = highWaterMark;
    return inner;
  },
  HttpResponseStream: class HttpResponseStream {
    static from(stream, metadata) {
      stream.setContentType('application/vnd.awslambda.http-integration-response');
      stream.prelude = JSON.stringify(metadata);
      return stream;
    }
  },
};

async function invokeStreaming(invocation, event, context) {
  const highWaterMark = handler[Symbol.for('aws.lambda.runtime.handler.streaming.highWaterMark')];
  const stream = new ResponseStream(invocation, highWaterMark === undefined ? undefined : { highWaterMark });
  invocation.stream = stream;
  // The process is not ready for its next event before the result is whole and the handler is done.
  const whole = new Promise((resolve) => stream.once('finish', resolve));
  try {
    await handler(event, stream, context);
    await whole;
  } catch (error) {
    if (current !== invocation) return;
    if (!stream.writableEnded) {
      failStream(invocation, error);
      return;
    }
    writeLog('ERROR', `Invoke Error \t${JSON.stringify(toLog(error))}`);
    await whole;
  }
  if (current !== invocation) return;
  current = undefined;
  socket.write(message('R', ''));
}

function failStream(invocation, error) {
  const { stream } = invocation;
  if (!stream.begun) {
    fail(invocation, error);
    return;
  }
  writeLog('ERROR', `Invoke Error \t${JSON.stringify(toLog(error))}`);
  current = undefined;
  stream.abort(describe(error));
}

// ---- one invocation ----

function finish(invocation, letter, body) {
  if (current !== invocation) return;
  current = undefined;
  answer(invocation, letter, body);
  // What ends because the event loop is empty needs one that is not; anything else may go on at once.
  if (invocation.emptied) setImmediate(next);
  else queueMicrotask(goOn);
}

// Rejections that nobody has handled yet, while there still is time to.
const suspects = new Map();
let probing = false;

// Goes on with the next event at once, unless the handler that is done has left a rejection behind. Then the event loop has
// a turn first: the rejection is handled in it, or ends this process before another invocation begins.
function goOn() {
  probing = true;
  try {
    // Has Node tell what is rejected by now; there is no other way to ask, and none is promised.
    process._tickCallback?.();
  } finally {
    probing = false;
  }
  if (suspects.size === 0) {
    next();
    return;
  }
  setImmediate(() => {
    for (const reason of suspects.values()) crashOfRejection(reason);
    next();
  });
}

function succeed(invocation, result) {
  let body;
  try {
    body = JSON.stringify(result === undefined ? null : result);
    if (body === undefined) body = 'null';
  } catch (error) {
    fail(invocation, new RuntimeError('MarshalError', `Unable to stringify response body: ${error.message}`));
    return;
  }
  finish(invocation, 'S', body);
}

function fail(invocation, error) {
  if (current !== invocation) return;
  writeLog('ERROR', `Invoke Error \t${JSON.stringify(toLog(error))}`);
  finish(invocation, 'E', JSON.stringify(describe(error)));
}

function settle(invocation, error, result) {
  if (current !== invocation || invocation.settled) return;
  invocation.settled = () => (error ? fail(invocation, error) : succeed(invocation, result));
  if (!invocation.waitForEmptyEventLoop) invocation.settled();
}

function parse(text) {
  return text ? JSON.parse(text) : undefined;
}

// Reading the environment costs more than all of the rest of a context.
const constants = {
  functionVersion: env.AWS_LAMBDA_FUNCTION_VERSION,
  functionName: env.AWS_LAMBDA_FUNCTION_NAME,
  memoryLimitInMB: env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
  logGroupName: env.AWS_LAMBDA_LOG_GROUP_NAME,
  logStreamName: env.AWS_LAMBDA_LOG_STREAM_NAME,
};

function contextOf(invocation, [, functionArn, , clientContext]) {
  const settleNow = (error, result) => {
    invocation.waitForEmptyEventLoop = false;
    settle(invocation, error, result);
  };
  return {
    get callbackWaitsForEmptyEventLoop() {
      return invocation.waitForEmptyEventLoop;
    },
    set callbackWaitsForEmptyEventLoop(value) {
      invocation.waitForEmptyEventLoop = Boolean(value);
    },
    succeed: (result) => settleNow(null, result),
    fail: (error) => settleNow(error == null ? new Error('handled') : error),
    done: (error, result) => settleNow(error, result),
    functionVersion: constants.functionVersion,
    functionName: constants.functionName,
    memoryLimitInMB: constants.memoryLimitInMB,
    logGroupName: constants.logGroupName,
    logStreamName: constants.logStreamName,
    clientContext: parse(clientContext),
    identity: undefined,
    invokedFunctionArn: functionArn,
    awsRequestId: invocation.id,
    getRemainingTimeInMillis: () => Math.max(0, invocation.deadline - Date.now()),
  };
}

function invoke({ head, deadline, following, body }) {
  const invocation = {
    id: head[0],
    deadline,
    following, // how many events have come with it and have not begun
    waitForEmptyEventLoop: true,
    emptied: false,
    settled: undefined,
  };
  current = invocation;
  traceId = head[2] || undefined;
  if (following > 0) watch();
  try {
    const context = contextOf(invocation, head);
    const event = JSON.parse(body);
    learn(event);
    if (handler[streaming] === 'response') {
      invokeStreaming(invocation, event, context);
      return;
    }
    const returned = handler(event, context, (error, result) => settle(invocation, error, result));
    if (returned != null && typeof returned.then === 'function') {
      returned.then((result) => succeed(invocation, result), (error) => fail(invocation, error));
    }
  } catch (error) {
    fail(invocation, error);
  }
}

// Nothing but the handler's own work keeps the event loop alive, so this tells when it is empty.
process.on('beforeExit', () => {
  if (!current) return;
  current.emptied = true;
  (current.settled || (() => succeed(current, null)))();
});

function crash(label, error, status) {
  writeLog('ERROR', `${label}\t${JSON.stringify(toLog(error))}`);
  const described = describe(error);
  if (current && current.stream && current.stream.begun) {
    current.stream.abort(described, () => process.exit(status));
    return;
  }
  if (!handler) send('I', JSON.stringify(described));
  else if (current) {
    if (current.following > 0) giveBack(current);
    send('E', JSON.stringify(described));
  }
  // What an earlier invocation left behind is not the fault of one that has not begun.
  else if (taken || from < to) send('U', '');
  process.exit(status);
}

process.on('uncaughtException', (error) => crash('Uncaught Exception ', error, 129));
process.on('unhandledRejection', (reason, promise) => {
  if (probing) suspects.set(promise, reason);
  else crashOfRejection(reason);
});
process.on('rejectionHandled', (promise) => suspects.delete(promise));

function crashOfRejection(reason) {
  const error = new RuntimeError('UnhandledPromiseRejection', String(reason), reason);
  error.reason = describe(reason);
  crash('Unhandled Promise Rejection ', error, 128);
}

// ---- the way back to the gateway ----
//
// Code written for AWS calls the host that its event names, `https://HOST/STAGE`, to reach a WebSocket API's
// connections; here nothing listens there. Connections that `node:https` (and so the AWS SDK) makes to the port 443 of
// such a host go to the gateway instead, which tells APIs apart by their hosts. Events of WebSocket APIs alone count:
// their host is one that the gateway serves, while other clients may put any name there. Nothing is changed in a process
// that sees none of them.

const gateway = /^\[?(.*?)\]?:(\d+)$/.exec(env._STAGEDOOR_GATEWAY || '');
const hosts = new Set();

function learn(event) {
  const context = gateway && event && event.requestContext;
  const host = context && context.connectionId && context.domainName;
  if (typeof host !== 'string' || hosts.has(host)) return;
  if (hosts.size === 0) redirect();
  hosts.add(host);
}

function redirect() {
  const net = require('node:net');
  const { Agent } = require('node:https');
  const { createConnection } = Agent.prototype;
  Agent.prototype.createConnection = function redirected(options, ...rest) {
    const isThere = options && hosts.has(options.host) && Number(options.port || 443) === 443;
    if (!isThere) return createConnection.call(this, options, ...rest);
    const way = net.connect(Number(gateway[2]), gateway[1]);
    way.setNoDelay(true);
    return way;
  };
}

// ---- the connection ----

let received = Buffer.allocUnsafeSlow(64 * 1024);
let from = 0; // where what has been received and not used begins
let to = 0; // and ends
const prepared = Buffer.allocUnsafeSlow(64 * 1024);

// Makes room for so many bytes in all.
function reserve(size) {
  if (received.length - from >= size) return;
  const larger = received.length < size ? Buffer.allocUnsafeSlow(size) : received;
  received.copy(larger, 0, from, to);
  received = larger;
  to -= from;
  from = 0;
}

// Waits until there are so many bytes.
function receive(size) {
  reserve(size);
  while (to - from < size) {
    let count = 0;
    try {
      count = fs.readSync(link, received, to, received.length - to, null);
    } catch {
      // As at the end.
    }
    if (count === 0) process.exit(0);
    to += count;
  }
}

function message(letter, content) {
  const bytes = typeof content === 'string' ? Buffer.from(content) : content;
  const head = Buffer.allocUnsafe(5);
  head[0] = letter.charCodeAt(0);
  head.writeUInt32LE(bytes.length, 1);
  return Buffer.concat([head, bytes]);
}

// Reports a result. Nobody is woken by what is said aside, and there is room for a little only.
function answer(invocation, letter, text) {
  if (invocation.following > 0 && text.length > asideMax) giveBack(invocation);
  send(letter, text, invocation.following > 0 ? aside : link);
}

function send(letter, text, to = link) {
  if (socket) {
    socket.write(message(letter, text));
    return;
  }
  let bytes = prepared;
  let size = 5;
  // A UTF-16 unit takes up to three bytes.
  if (text.length * 3 + 5 <= prepared.length) {
    const written = prepared.utf8Write(text, 5);
    prepared[0] = letter.charCodeAt(0);
    prepared.writeUInt32LE(written, 1);
    size += written;
  } else {
    bytes = message(letter, text);
    size = bytes.length;
  }
  try {
    for (let sent = 0; sent < size;) sent += fs.writeSync(to, bytes, sent, size - sent);
  } catch {
    process.exit(0);
  }
}

// The context of no invocation: what a handler stores in an AsyncLocalStorage must not reach the next.
const outside = new AsyncResource('stagedoor');
const inside = (event) => new AsyncResource('stagedoor').runInAsyncScope(invoke, null, event);

let turned = 0; // when the event loop last had a turn, in ms
let taken = false; // whether an event has been read whose handler has not begun

// Waits for the next event. The event loop has a turn before it after a while, so that timers and connections of the
// function's own are not forgotten: what came in while it waited is seen before the handler runs.
function next() {
  if (socket) return;
  receiveEvents();
  const event = takeEvent();
  if (performance.now() - turned < 1) {
    outside.runInAsyncScope(inside, null, event);
    return;
  }
  taken = true;
  setImmediate(() => {
    turned = performance.now();
    taken = false;
    outside.runInAsyncScope(inside, null, event);
  });
}

const headBytes = 20;
const eventSize = (at) => headBytes + received.readUInt32LE(at) + received.readUInt32LE(at + 4);

// Waits for an event and those that come with it: one that has not been read while another runs would look, if that ends the
// process, as if the other had not been read either.
function receiveEvents() {
  receive(headBytes);
  const count = 1 + received.readUInt32LE(from + 8);
  let size = 0;
  for (let i = 0; i < count; i += 1) {
    receive(size + headBytes);
    size += eventSize(from + size);
    receive(size);
  }
}

function skipEvent() {
  from += eventSize(from);
  if (from === to) {
    from = 0;
    to = 0;
    if (received.length > 1024 * 1024) received = Buffer.allocUnsafeSlow(64 * 1024);
  }
}

function takeEvent() {
  const end = from + eventSize(from);
  const headAt = from + headBytes;
  const bodyAt = headAt + received.readUInt32LE(from);
  const event = {
    head: received.utf8Slice(headAt, bodyAt).split('\n'),
    deadline: received.readUInt32LE(from + 12) + received.readUInt32LE(from + 16) * 2 ** 32,
    following: received.readUInt32LE(from + 8),
    body: received.utf8Slice(bodyAt, end),
  };
  skipEvent();
  return event;
}

// The largest answer that is said aside, in UTF-16 units.
const asideMax = 4 * 1024;
let watching = false;

// While handlers are done without a turn of the event loop, the next ones follow at once. When the loop has a turn, one is
// not, and nobody knows how long it takes.
function watch() {
  if (watching) return;
  watching = true;
  setImmediate(() => {
    watching = false;
    if (current && current.following > 0) giveBack(current);
  });
}

function giveBack(invocation) {
  for (; invocation.following > 0; invocation.following -= 1) skipEvent();
  send('G', '');
}

// The connection of a handler that streams.
let socket;

function listen() {
  const net = require('node:net');
  socket = new net.Socket({ fd: link, readable: true, writable: true });
  let unwanted = 0; // how many events are to be forgotten
  socket.on('data', (chunk) => {
    reserve(to - from + chunk.length);
    to += chunk.copy(received, to);
    while (to - from >= headBytes && to - from >= eventSize(from)) {
      if (unwanted > 0) {
        unwanted -= 1;
        skipEvent();
        continue;
      }
      const event = takeEvent();
      unwanted = event.following;
      event.following = 0;
      if (unwanted > 0) send('G', '');
      inside(event);
    }
  });
  socket.on('end', () => process.exit(0));
  socket.on('error', () => process.exit(0));
}

loadHandler().then(
  (loaded) => {
    handler = loaded;
    if (handler[streaming] === 'response') listen();
    send('R', '');
    next();
  },
  (error) => crash('Uncaught Exception ', error, 1),
);
