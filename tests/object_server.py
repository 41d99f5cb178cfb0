"""Servers on loopback that tests start: objects by S3's protocol, signatures checked, or files."""

from __future__ import annotations

import hashlib
import hmac
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import SO_LINGER, SOL_SOCKET
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.sax.saxutils import escape

ACCESS_KEY, SECRET_KEY = "AKIATESTLAZYMU000001", "s3cr3t/of+tests-that-must-not-be-seen"
TOKEN = "t0k3n-of-tests-that-must-not-be-seen"
BUCKET = "cells"
PAGE = 1000


@dataclass
class Request:
    """One request as the server saw it."""

    method: str
    key: str
    query: dict[str, str]
    bytes_range: str | None
    at: float


@dataclass
class ObjectServer:
    """Objects of one bucket (or files over HTTP), what was asked, and faults to make."""

    url: str = ""
    objects: dict[str, bytes] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    faults: list[Callable[[Request], str | None]] = field(default_factory=list)
    """Each is asked of each request: a status, "reset", "cut" (half an answer) or "slow"."""
    signed: bool = True
    parts: dict[str, dict[int, bytes]] = field(default_factory=dict)
    """Parts of objects that come in several."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def fail(self, kind: str, times: int, match: Callable[[Request], bool] | None = None) -> None:
        """Let the next requests that match fail."""
        left = [times]

        def fault(request: Request) -> str | None:
            if left[0] and (match is None or match(request)):
                left[0] -= 1
                return kind
            return None

        self.faults.append(fault)

    def count(self, method: str, part: str = "") -> int:
        """Return the requests of a method for keys with a text in them."""
        return sum(one.method == method and part in one.key for one in self.requests)

    @property
    def options(self) -> dict[str, object]:
        """The `storage_options` of its client."""
        return {
            "key": ACCESS_KEY,
            "secret": SECRET_KEY,
            "client_kwargs": {"endpoint_url": self.url, "region_name": "eu-test-1"},
        }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body of an answer go together, else each waits 40 ms for the one before.
    wbufsize = -1
    disable_nagle_algorithm = True
    server: _Threads
    cut = False

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _serve(self) -> None:
        state = self.server.state
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        split = urlsplit(self.path)
        query = {k: v[0] for k, v in parse_qs(split.query, keep_blank_values=True).items()}
        bucket, _, key = unquote(split.path).lstrip("/").partition("/")
        if not state.signed:
            key = unquote(split.path).lstrip("/")
        request = Request(self.command, key, query, self.headers.get("Range"), time.monotonic())
        with state.lock:
            state.requests.append(request)
            kind = next((k for fault in state.faults if (k := fault(request))), None)
        if kind == "reset":
            self.connection.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()
            return
        if kind == "slow":
            time.sleep(1.0)
        if kind in ("503", "500"):
            self._error(int(kind), "SlowDown")
            return
        if kind == "301":
            self._send(301, b"")
            return
        self.cut = kind == "cut"
        if kind == "403":
            self._error(403, "AccessDenied")
            return
        if state.signed:
            if (problem := _signature_problem(self, body)) is not None:
                self._error(403, problem)
                return
            if bucket != BUCKET:
                self._error(404, "NoSuchBucket")
                return
        with state.lock:
            self._answer(request, body)

    do_GET = do_HEAD = do_PUT = do_DELETE = do_POST = _serve

    def _answer(self, request: Request, body: bytes) -> None:
        objects, method, key = self.server.state.objects, request.method, request.key
        signed = self.server.state.signed
        if not signed and method not in ("GET", "HEAD"):
            self._error(405, "MethodNotAllowed")
        elif method == "GET" and signed and not key:
            self._send(200, self._listing(request.query).encode(), "application/xml")
        elif method in ("GET", "HEAD"):
            if key not in objects:
                self._error(404, "NoSuchKey")
            else:
                self._object(objects[key], request.bytes_range)
        elif method == "POST" and "uploads" in request.query:
            answer = f"<InitiateMultipartUploadResult><Bucket>{BUCKET}</Bucket><Key>{escape(key)}"
            answer += f"</Key><UploadId>u{len(self.server.state.requests)}</UploadId>"
            answer += "</InitiateMultipartUploadResult>"
            self._send(200, answer.encode(), "application/xml")
        elif method == "PUT" and "partNumber" in request.query:
            upload = self.server.state.parts.setdefault(request.query["uploadId"], {})
            upload[int(request.query["partNumber"])] = body
            self._send(200, b"", "", etag=_etag(body))
        elif method == "POST" and "uploadId" in request.query:
            upload = self.server.state.parts.pop(request.query["uploadId"])
            objects[key] = b"".join(upload[number] for number in sorted(upload))
            answer = f"<CompleteMultipartUploadResult><Bucket>{BUCKET}</Bucket><Key>{escape(key)}"
            answer += f"</Key><ETag>{_etag(objects[key])}</ETag></CompleteMultipartUploadResult>"
            self._send(200, answer.encode(), "application/xml")
        elif method == "DELETE" and "uploadId" in request.query:
            self.server.state.parts.pop(request.query["uploadId"], None)
            self._send(204, b"")
        elif method == "PUT":
            objects[key] = body
            self._send(200, b"", "", etag=_etag(body))
        elif method == "DELETE":
            objects.pop(key, None)
            self._send(204, b"")
        elif method == "POST" and "delete" in request.query:
            names = [part.split("</Key>")[0] for part in body.decode().split("<Key>")[1:]]
            for name in names:
                objects.pop(name, None)
            deleted = "".join(f"<Deleted><Key>{name}</Key></Deleted>" for name in names)
            answer = f"<DeleteResult>{deleted}</DeleteResult>"
            self._send(200, answer.encode(), "application/xml")
        else:
            self._error(501, "NotImplemented")

    def _object(self, value: bytes, bytes_range: str | None) -> None:
        if bytes_range is None:
            self._send(200, value, "application/octet-stream", etag=_etag(value))
            return
        first, _, last = bytes_range.removeprefix("bytes=").partition("-")
        start = int(first) if first else max(0, len(value) - int(last))
        stop = min(int(last) + 1 if first and last else len(value), len(value))
        if start >= len(value):
            self._error(416, "InvalidRange")
            return
        told = f"bytes {start}-{stop - 1}/{len(value)}"
        part = value[start:stop]
        self._send(206, part, "application/octet-stream", etag=_etag(value), content_range=told)

    def _listing(self, query: dict[str, str]) -> str:
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        after = query.get("continuation-token", query.get("start-after", ""))
        entries, folders = [], []
        objects = self.server.state.objects
        for key in sorted(k for k in objects if k.startswith(prefix) and k > after):
            rest = key[len(prefix) :]
            if delimiter and delimiter in rest:
                folder = prefix + rest.split(delimiter)[0] + delimiter
                if folder not in folders:
                    folders.append(folder)
            else:
                entries.append(key)
        more = len(entries) > PAGE
        entries = entries[:PAGE]
        contents = "".join(
            f"<Contents><Key>{escape(k)}</Key><LastModified>2026-01-01T00:00:00.000Z"
            f"</LastModified><ETag>{_etag(objects[k])}</ETag><Size>{len(objects[k])}</Size>"
            "<StorageClass>STANDARD</StorageClass></Contents>"
            for k in entries
        )
        prefixes = "".join(
            f"<CommonPrefixes><Prefix>{escape(f)}</Prefix></CommonPrefixes>" for f in folders
        )
        token = f"<NextContinuationToken>{entries[-1]}</NextContinuationToken>" if more else ""
        return (
            f"<ListBucketResult><Name>{BUCKET}</Name><Prefix>{escape(prefix)}</Prefix>"
            f"<KeyCount>{len(entries)}</KeyCount><MaxKeys>{PAGE}</MaxKeys>"
            f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}{contents}{prefixes}"
            "</ListBucketResult>"
        )

    def _error(self, status: int, code: str) -> None:
        sent = f"<Error><Code>{code}</Code><AWSAccessKeyId>{ACCESS_KEY}</AWSAccessKeyId></Error>"
        self._send(status, sent.encode(), "application/xml")

    def _send(
        self, status: int, body: bytes, kind: str = "", etag: str = "", content_range: str = ""
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
        for name, value in (
            ("Content-Type", kind),
            ("ETag", etag),
            ("Content-Range", content_range),
        ):
            if value:
                self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[: len(body) // 2] if self.cut else body)
        if self.cut:
            self.close_connection = True


def _etag(value: bytes) -> str:
    return f'"{hashlib.md5(value, usedforsecurity=False).hexdigest()}"'


def _signature_problem(handler: BaseHTTPRequestHandler, body: bytes) -> str | None:
    """Check a request's Signature Version 4; return S3's code of what is wrong with it."""
    said = handler.headers.get("Authorization", "")
    if not said.startswith("AWS4-HMAC-SHA256 "):
        return "AccessDenied"
    parts = dict(part.strip().split("=", 1) for part in said.split(" ", 1)[1].split(","))
    access, day, region, service, _ = parts["Credential"].split("/")
    if access != ACCESS_KEY:
        return "InvalidAccessKeyId"
    split = urlsplit(handler.path)
    query = "&".join(
        f"{quote(k, safe='-_.~')}={quote(v[0], safe='-_.~')}"
        for k, v in sorted(parse_qs(split.query, keep_blank_values=True).items())
    )
    names = parts["SignedHeaders"].split(";")
    headers = "".join(f"{name}:{(handler.headers[name] or '').strip()}\n" for name in names)
    hashed = handler.headers.get("x-amz-content-sha256", "")
    if hashed not in ("UNSIGNED-PAYLOAD", hashlib.sha256(body).hexdigest()):
        return "XAmzContentSHA256Mismatch"
    canonical = "\n".join(
        (handler.command, split.path, query, headers, parts["SignedHeaders"], hashed)
    )
    scope = f"{day}/{region}/{service}/aws4_request"
    text = "\n".join(
        (
            "AWS4-HMAC-SHA256",
            handler.headers["x-amz-date"],
            scope,
            hashlib.sha256(canonical.encode()).hexdigest(),
        )
    )
    key = f"AWS4{SECRET_KEY}".encode()
    for part in (day, region, service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    return None if signature == parts["Signature"] else "SignatureDoesNotMatch"


class _Threads(ThreadingHTTPServer):
    daemon_threads = True
    state: ObjectServer

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # clients that go away, and the resets that tests ask for


@contextmanager
def serving(*, signed: bool = True, certificate: Path | None = None) -> Iterator[ObjectServer]:
    """Serve objects from a thread: S3's protocol where ``signed``, else plain reading."""
    server = _Threads(("127.0.0.1", 0), _Handler)
    scheme = "http"
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        scheme = "https"
    state = ObjectServer(url=f"{scheme}://127.0.0.1:{server.server_port}", signed=signed)
    server.state = state
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
