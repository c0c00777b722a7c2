// Runs a Node handler. It speaks the Lambda Runtime API (2018-06-01) over file descriptor 3, a socket that the
// gateway inherited to this process. Two properties follow from that: nobody else can reach the API, and when the
// gateway ends in whatever way, the socket closes and this process ends with it.
//
// A result and the request for the next event leave in one write, so a warm call costs one read and one write.
'use strict';

const fs = require('node:fs');
const net = require('node:net');
const path = require('node:path');
const util = require('node:util');
const { Writable } = require('node:stream');
const { pathToFileURL } = require('node:url');
const { createRequire } = require('node:module');

const env = process.env;
const taskRoot = env.LAMBDA_TASK_ROOT;
const api = '/2018-06-01/runtime';
const nextRequest = `GET ${api}/invocation/next HTTP/1.1\r\nHost: runtime\r\n\r\n`;

const socket = new net.Socket({ fd: 3, readable: true, writable: true });
let current; // the invocation being worked on
let handler;

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

// What a streaming handler writes to. Each piece leaves at once as a chunk of one request, whose trailers tell an error.
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
    if (this.begun) return '';
    this.begun = true;
    const type = this.contentType.replace(/[^\x20-\x7e]/g, '?');
    const head = `POST ${api}/invocation/${this.invocation.id}/response HTTP/1.1\r\nHost: runtime\r\n`
      + `Content-Type: ${type}\r\nLambda-Runtime-Function-Response-Mode: streaming\r\nTransfer-Encoding: chunked\r\n`
      + 'Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\r\n\r\n';
    if (this.prelude === undefined) return head;
    const prelude = Buffer.concat([Buffer.from(this.prelude), Buffer.alloc(8)]);
    return Buffer.concat([Buffer.from(`${head}${prelude.length.toString(16)}\r\n`), prelude, Buffer.from('\r\n')]);
  }

  _write(chunk, encoding, done) {
    socket.cork();
    socket.write(this.begin());
    if (chunk.length > 0) {
      socket.write(`${chunk.length.toString(16)}\r\n`);
      socket.write(chunk);
      socket.write('\r\n', done);
    } else {
      done();
    }
    socket.uncork();
  }

  _final(done) {
    socket.cork();
    socket.write(this.begin());
    socket.write('0\r\n\r\n', done);
    socket.uncork();
  }

  // Ends a result that has begun, and tells why.
  abort(described) {
    const body = Buffer.from(JSON.stringify(described)).toString('base64');
    const type = String(described.errorType).replace(/[^\x20-\x7e]/g, '?');
    socket.write(
      `0\r\nLambda-Runtime-Function-Error-Type: ${type}\r\nLambda-Runtime-Function-Error-Body: ${body}\r\n\r\n`,
    );
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
  // The next event is not asked for before the result is whole and the handler is done.
  const whole = new Promise((resolve) => stream.once('finish', resolve));
  socket.ref();
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
  socket.write(nextRequest);
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
  socket.write(nextRequest);
}

// ---- one invocation ----

function post(pathname, body, type, then) {
  const kind = type ? `Lambda-Runtime-Function-Error-Type: ${type.replace(/[^\x20-\x7e]/g, '?')}\r\n` : '';
  const head = `POST ${api}${pathname} HTTP/1.1\r\nHost: runtime\r\n${kind}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n`;
  socket.write(head + body + (then ? '' : nextRequest), then);
}

function finish(invocation, body) {
  if (current !== invocation) return;
  current = undefined;
  socket.ref();
  post(`/invocation/${invocation.id}/response`, body);
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
  finish(invocation, body);
}

function fail(invocation, error) {
  if (current !== invocation) return;
  writeLog('ERROR', `Invoke Error \t${JSON.stringify(toLog(error))}`);
  const described = describe(error);
  current = undefined;
  socket.ref();
  post(`/invocation/${invocation.id}/error`, JSON.stringify(described), described.errorType);
}

function settle(invocation, error, result) {
  if (current !== invocation || invocation.settled) return;
  invocation.settled = () => (error ? fail(invocation, error) : succeed(invocation, result));
  if (!invocation.waitForEmptyEventLoop) invocation.settled();
}

function parse(text) {
  return text === undefined ? undefined : JSON.parse(text);
}

// Reading the environment costs more than all of the rest of a context.
const constants = {
  functionVersion: env.AWS_LAMBDA_FUNCTION_VERSION,
  functionName: env.AWS_LAMBDA_FUNCTION_NAME,
  memoryLimitInMB: env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
  logGroupName: env.AWS_LAMBDA_LOG_GROUP_NAME,
  logStreamName: env.AWS_LAMBDA_LOG_STREAM_NAME,
};

function contextOf(invocation, headers) {
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
    clientContext: parse(headers['lambda-runtime-client-context']),
    identity: parse(headers['lambda-runtime-cognito-identity']),
    invokedFunctionArn: headers['lambda-runtime-invoked-function-arn'],
    awsRequestId: invocation.id,
    getRemainingTimeInMillis: () => Math.max(0, invocation.deadline - Date.now()),
  };
}

function invoke(headers, body) {
  const invocation = {
    id: headers['lambda-runtime-aws-request-id'],
    deadline: Number(headers['lambda-runtime-deadline-ms']),
    waitForEmptyEventLoop: true,
    settled: undefined,
  };
  current = invocation;
  const traceId = headers['lambda-runtime-trace-id'];
  if (traceId === undefined) delete env._X_AMZN_TRACE_ID;
  else env._X_AMZN_TRACE_ID = traceId;
  // From here on only the handler's own work keeps the event loop alive, so that `beforeExit` tells when it is empty.
  socket.unref();
  try {
    const context = contextOf(invocation, headers);
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

process.on('beforeExit', () => {
  if (current) (current.settled || (() => succeed(current, null)))();
});

function crash(label, error, status) {
  writeLog('ERROR', `${label}\t${JSON.stringify(toLog(error))}`);
  const described = describe(error);
  if (current && current.stream && current.stream.begun) {
    current.stream.abort(described);
    socket.end(() => process.exit(status));
    return;
  }
  const where = handler ? current && `/invocation/${current.id}/error` : '/init/error';
  if (!where) process.exit(status);
  post(where, JSON.stringify(described), described.errorType, () => process.exit(status));
}

process.on('uncaughtException', (error) => crash('Uncaught Exception ', error, 129));
process.on('unhandledRejection', (reason) => {
  const error = new RuntimeError('UnhandledPromiseRejection', String(reason), reason);
  error.reason = describe(reason);
  crash('Unhandled Promise Rejection ', error, 128);
});

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
  const { Agent } = require('node:https');
  const { createConnection } = Agent.prototype;
  Agent.prototype.createConnection = function redirected(options, ...rest) {
    const isThere = options && hosts.has(options.host) && Number(options.port || 443) === 443;
    if (!isThere) return createConnection.call(this, options, ...rest);
    const link = net.connect(Number(gateway[2]), gateway[1]);
    link.setNoDelay(true);
    return link;
  };
}

// ---- the connection ----

let chunks = [];
let received = 0;
let wanted = 1; // bytes without which looking at what came is useless

socket.on('data', (chunk) => {
  chunks.push(chunk);
  received += chunk.length;
  while (received >= wanted) {
    const bytes = chunks.length === 1 ? chunks[0] : Buffer.concat(chunks, received);
    chunks = [bytes];
    const end = bytes.indexOf('\r\n\r\n');
    if (end < 0) {
      wanted = received + 1;
      return;
    }
    const lines = bytes.latin1Slice(0, end).split('\r\n');
    const headers = {};
    for (let i = 1; i < lines.length; i += 1) {
      const colon = lines[i].indexOf(':');
      headers[lines[i].slice(0, colon).toLowerCase()] = lines[i].slice(colon + 1).trim();
    }
    const total = end + 4 + Number(headers['content-length'] || 0);
    if (received < total) {
      wanted = total;
      return;
    }
    chunks = received === total ? [] : [bytes.subarray(total)];
    received -= total;
    wanted = 1;
    if (headers['lambda-runtime-aws-request-id'] !== undefined) invoke(headers, bytes.utf8Slice(end + 4, total));
  }
});
socket.on('end', () => process.exit(0));
socket.on('error', () => process.exit(0));

loadHandler().then(
  (loaded) => {
    handler = loaded;
    socket.write(nextRequest);
  },
  (error) => crash('Uncaught Exception ', error, 1),
);
