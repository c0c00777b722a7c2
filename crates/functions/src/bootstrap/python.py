"""Runs a Python handler.

It talks to the gateway over file descriptor 3, a socket that it inherited, in messages that `link.rs` describes: nobody
else can reach it, and it closes when the gateway ends.
"""

import importlib
import importlib.machinery
import importlib.util
import json
import logging
import os
import socket
import struct
import sys
import time
import traceback
import types

TASK_ROOT = os.environ["LAMBDA_TASK_ROOT"]

request_id = ""


class Fault(Exception):
    """A failure to load the handler, under the name that Lambda gives it."""

    def __init__(self, kind, message, trace=()):
        super().__init__(message)
        self.kind = f"Runtime.{kind}"
        self.message = message
        self.trace = list(trace)


class Loader(importlib.machinery.SourceFileLoader):
    """Loads the function's own modules. Their compiled files stay out of the code directory, as on Lambda, where it is
    read-only. Python takes one for current if time (in whole seconds) and size match, so a file that has just been
    written is compiled anew: another edit within that second would go unseen."""

    def get_code(self, fullname):
        prefix = sys.pycache_prefix
        sys.pycache_prefix = os.path.join(os.path.dirname(__file__), "pycache")
        try:
            return super().get_code(fullname)
        finally:
            sys.pycache_prefix = prefix

    def path_stats(self, path):
        stats = super().path_stats(path)
        if time.time() - stats["mtime"] < 2:
            raise OSError("too new for its compiled file to be trusted")
        return stats


def find_modules(path):
    if not path.startswith(TASK_ROOT):
        raise ImportError
    machinery = importlib.machinery
    return machinery.FileFinder(
        path,
        (machinery.ExtensionFileLoader, machinery.EXTENSION_SUFFIXES),
        (Loader, machinery.SOURCE_SUFFIXES),
        (machinery.SourcelessFileLoader, machinery.BYTECODE_SUFFIXES),
    )


def frames(tb):
    """The frames of the user's code, each as Lambda prints it: paths are those of AWS, and no caret lines."""
    hidden = (__file__, "<frozen ", importlib.__file__)
    for frame in traceback.extract_tb(tb):
        if not frame.filename.startswith(hidden):
            name = frame.filename.replace(TASK_ROOT, "/var/task", 1)
            yield f'  File "{name}", line {frame.lineno}, in {frame.name}\n    {frame.line}\n'


def describe(kind, message, trace):
    return {"errorMessage": message, "errorType": kind, "requestId": request_id, "stackTrace": trace}


def describe_exception(error):
    if isinstance(error, Fault):
        return describe(error.kind, error.message, error.trace)
    return describe(type(error).__name__, str(error), list(frames(error.__traceback__)))


def log_error(described):
    lines = [f"[ERROR] {described['errorType']}: {described['errorMessage']}"]
    if described["stackTrace"]:
        lines.append("Traceback (most recent call last):")
        lines += [line.rstrip("\n").replace("\n", "\r").replace("/var/task", TASK_ROOT) for line in described["stackTrace"]]
    # One event of the log: a line break inside of it travels as a carriage return.
    print("\r".join(lines))


class LogHandler(logging.Handler):
    """The root logger's handler on Lambda."""

    def emit(self, record):
        print(self.format(record).replace("\n", "\r"))


class LogFormatter(logging.Formatter):
    converter = time.gmtime

    def format(self, record):
        text = super().format(record)
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        return f"[{record.levelname}]\t{moment}.{int(record.msecs):03d}Z\t{request_id}\t{text}"


class Context:
    """The second argument of a handler."""

    def __init__(self, head, deadline):
        environ = os.environ
        self.aws_request_id, self.invoked_function_arn, _, client = head
        self.function_name = environ.get("AWS_LAMBDA_FUNCTION_NAME")
        self.function_version = environ.get("AWS_LAMBDA_FUNCTION_VERSION")
        self.memory_limit_in_mb = environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
        self.log_group_name = environ.get("AWS_LAMBDA_LOG_GROUP_NAME")
        self.log_stream_name = environ.get("AWS_LAMBDA_LOG_STREAM_NAME")
        self.client_context = client_context(client)
        self.identity = types.SimpleNamespace(cognito_identity_id=None, cognito_identity_pool_id=None)
        self._deadline = deadline

    def get_remaining_time_in_millis(self):
        return max(0, self._deadline - int(time.time() * 1000))

    def log(self, message):
        sys.stdout.write(str(message))


def client_context(text):
    if not text:
        return None
    given = json.loads(text)
    client = given.get("client") or {}
    names = ("installation_id", "app_title", "app_version_name", "app_version_code", "app_package_name")
    return types.SimpleNamespace(
        client=types.SimpleNamespace(**{name: client.get(name) for name in names}),
        custom=given.get("custom"),
        env=given.get("env"),
    )


def load_handler():
    spec = os.environ["_HANDLER"]
    module_name, dot, function = spec.rpartition(".")
    if not dot or not module_name or not function:
        raise Fault("MalformedHandlerName", f"Bad handler '{spec}': it takes the form file.function, such as app.handler")
    module_name = module_name.replace("/", ".")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise Fault(
            "ImportModuleError", f"Unable to import module '{module_name}': {error}", frames(error.__traceback__)
        ) from None
    except SyntaxError as error:
        place = f'  File "{error.filename}" Line {error.lineno}\n    {(error.text or "").strip()}\n'
        raise Fault(
            "UserCodeSyntaxError",
            f"Syntax error in module '{module_name}': {error}",
            [place.replace(TASK_ROOT, "/var/task", 1)],
        ) from None
    found = getattr(module, function, None)
    if found is None:
        raise Fault("HandlerNotFound", f"Handler '{function}' missing on module '{module_name}'")
    return found


class Connection:
    """The gateway's messages, and the answers to them, on the inherited socket."""

    def __init__(self):
        os.set_inheritable(3, False)
        self.socket = socket.socket(fileno=3)
        self.received = b""

    def send(self, letter, body=b""):
        self.socket.sendall(letter + struct.pack("<I", len(body)) + body)

    def take(self, size):
        parts = [self.received]
        have = len(self.received)
        while have < size:
            part = self.socket.recv(max(65536, min(size - have, 1 << 20)))
            if not part:
                os._exit(0)
            parts.append(part)
            have += len(part)
        data = b"".join(parts)
        self.received = data[size:]
        return data[:size]

    def next_event(self):
        """Request id, ARN, trace id and client context; when it has to be done, in ms since 1970; and the event as JSON.
        None is ever followed by another before it is done."""
        head_length, body_length, _, deadline = struct.unpack("<IIIQ", self.take(20))
        data = self.take(head_length + body_length)
        return data[:head_length].decode().split("\n")[:4], deadline, data[head_length:]


class Gateway:
    """The way back to the gateway. Code written for AWS calls the host that its event names, `https://HOST/STAGE`, to
    reach a WebSocket API's connections; here nothing listens there. Connections that `http.client` and `urllib3` (and so
    boto3) make to the port 443 of such a host go to the gateway instead, which tells APIs apart by their hosts."""

    def __init__(self):
        host, _, port = os.environ.get("_STAGEDOOR_GATEWAY", "").rpartition(":")
        self.address = (host.strip("[]"), int(port)) if host else None
        self.hosts = set()

    def learn(self, event):
        """Called with each event. Those of WebSocket APIs alone count: their host is one that the gateway serves, while
        other clients may put any name there. Nothing is changed in a process that sees none of them."""
        if not self.address or not isinstance(event, dict):
            return
        context = event.get("requestContext")
        if not isinstance(context, dict) or "connectionId" not in context:
            return
        host = context.get("domainName")
        if isinstance(host, str) and host not in self.hosts:
            if not self.hosts:
                self.redirect_all()
            self.hosts.add(host)

    def redirect_all(self):
        import http.client

        self.redirect(http.client.HTTPSConnection)
        name = "urllib3.connection"
        if name in sys.modules:
            self.redirect(sys.modules[name].HTTPSConnection)
        else:
            sys.meta_path.insert(0, AfterImport(name, lambda module: self.redirect(module.HTTPSConnection)))

    def redirect(self, kind):
        connect = kind.connect

        def redirected(connection):
            proxied = getattr(connection, "proxy", None) or getattr(connection, "_tunnel_host", None)
            if proxied or connection.host not in self.hosts or connection.port not in (None, 443):
                return connect(connection)
            seconds = connection.timeout if isinstance(connection.timeout, (int, float)) else None
            connection.sock = socket.create_connection(self.address, seconds)
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # What urllib3 asks before it warns of connections that nobody vouches for.
            connection.is_verified = True

        kind.connect = redirected


class AfterImport:
    """A finder that hands on a module once it has been loaded."""

    def __init__(self, name, use):
        self.name, self.use = name, use

    def find_spec(self, name, path=None, target=None):
        if name != self.name:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec and spec.loader:
            load = spec.loader.exec_module

            def loaded(module):
                load(module)
                self.use(module)

            spec.loader.exec_module = loaded
        return spec


def plain(value):
    """What JSON has no form for and Lambda has: numbers as DynamoDB's client gives them."""
    decimal = sys.modules.get("decimal")
    if decimal and isinstance(value, decimal.Decimal):
        return int(value) if value.is_finite() and value.as_tuple().exponent >= 0 else float(value)
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def to_json(value):
    return json.dumps(value, ensure_ascii=False, default=plain).encode("utf-8", "surrogatepass")


def invoke(handler, gateway, head, deadline, body):
    """Calls the handler; gives the letter and the body of what reports its result."""
    try:
        try:
            event = json.loads(body)
        except ValueError as error:
            raise Fault("UnmarshalError", f"Unable to unmarshal input: {error}") from None
        gateway.learn(event)
        result = handler(event, Context(head, deadline))
        try:
            return b"S", to_json(result)
        except (TypeError, ValueError) as error:
            raise Fault("MarshalError", f"Unable to marshal response: {error}") from None
    except Exception as error:
        described = describe_exception(error)
        log_error(described)
        return b"E", to_json(described)


def main():
    global request_id
    connection = Connection()
    # Whole lines leave at once, and what is left leaves with the result.
    sys.stdout.reconfigure(line_buffering=True)
    log_handler = LogHandler()
    log_handler.setFormatter(LogFormatter("%(message)s"))
    logging.getLogger().addHandler(log_handler)
    # In place of this file's own folder.
    sys.path[0] = TASK_ROOT
    sys.path_hooks.insert(0, find_modules)
    try:
        handler = load_handler()
    except Exception as error:
        described = describe_exception(error)
        log_error(described)
        sys.stdout.flush()
        connection.send(b"I", to_json(described))
        sys.exit(1)
    connection.send(b"R")
    gateway = Gateway()
    while True:
        head, deadline, body = connection.next_event()
        request_id, _, trace_id, _ = head
        if trace_id:
            os.environ["_X_AMZN_TRACE_ID"] = trace_id
        else:
            os.environ.pop("_X_AMZN_TRACE_ID", None)
        result = invoke(handler, gateway, head, deadline, body)
        sys.stdout.flush()
        connection.send(*result)


main()
