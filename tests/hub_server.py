"""A small Hub on this machine: real sockets and the real protocol, for the real client, with faults to order.

`Hub` listens on two ports: the Hub itself, and the storage network that large files are redirected to, which is
another origin. Plain files at /files/ play a host that is no Hub. What was asked is written down in `requests`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import programs

TOKEN = "hf_" + "s3cret" * 5
OWNER = "listener"  # whose token it is
LARGE = (".safetensors", ".pt", ".bin")  # what a repository keeps outside git, besides whatever is beyond 1 MiB
LIBRARY = Path(__file__).parent.parent


@dataclass(frozen=True)
class Entry:
    """A file of a commit."""

    content: bytes
    large: bool

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def blob_id(self) -> str:
        """What git would call it: for a large file, its pointer."""
        size = len(self.content)
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {size}\n".encode()
        kept = pointer if self.large else self.content
        return hashlib.sha1(b"blob %d\0" % len(kept) + kept).hexdigest()

    @property
    def etag(self) -> str:
        return self.sha256 if self.large else self.blob_id


@dataclass
class Repository:
    private: bool = False
    gated: bool = False
    commits: dict[str, dict[str, Entry]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)

    def add(self, files: dict[str, Entry], ref: str) -> str:
        """A commit on top of `ref`, which may be new; returns its id."""
        tree = self.commits.get(self.refs.get(ref, ""), {}) | files
        story = [
            self.refs.get(ref, ""),
            str(len(self.commits)),
            *(f"{path} {tree[path].etag}" for path in sorted(tree)),
        ]
        commit = hashlib.sha1("\n".join(story).encode()).hexdigest()
        self.commits[commit], self.refs[ref] = tree, commit
        return commit

    def resolve(self, revision: str) -> str | None:
        return revision if revision in self.commits else self.refs.get(revision)


@dataclass
class Fault:
    """What goes wrong with the next `times` requests whose address holds `path`; the first fault that fits is met."""

    path: str
    method: str = "GET"
    times: int = 10**6
    status: int | None = None  # answered instead, with `headers`
    headers: dict[str, str] = field(default_factory=dict)  # added to the answer
    content: bytes | None = None  # sent under the true file's name and ETag
    length: int | None = None  # said in Content-Length, whatever is sent
    without_range: bool = False  # Range is not understood: always the whole file
    cut_after: int | None = None  # the connection breaks after so many bytes of the body
    stall_after: int | None = None  # ... or falls silent
    pace: float = 0.0  # seconds between pieces of 64 KiB


@dataclass(frozen=True)
class Request:
    """One line of the log."""

    host: str  # "hub" or "storage"
    method: str
    path: str
    headers: dict[str, str]  # by names in lower case
    body: bytes = field(repr=False, default=b"")


class Hub:
    """The server: a context manager, or `start` and `stop`."""

    def __init__(self, token: str = TOKEN) -> None:
        self.token = token
        self.repositories: dict[str, Repository] = {}
        self.objects: dict[str, bytes] = {}  # large files by their sha256
        self.files: dict[str, bytes] = {}  # what lies at /files/
        self.faults: list[Fault] = []
        self.requests: list[Request] = []
        self.lock = threading.Lock()
        self.closing = threading.Event()
        self._servers: list[ThreadingHTTPServer] = []

    def __enter__(self) -> Hub:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> Hub:
        for host in ("hub", "storage"):
            server = _Server(("127.0.0.1", 0), partial(_Handler, self, host))
            self._servers.append(server)
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def stop(self) -> None:
        self.closing.set()
        for server in self._servers:
            server.shutdown()
            server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._servers[0].server_port}"

    @property
    def storage_url(self) -> str:
        return f"http://127.0.0.1:{self._servers[1].server_port}"

    def add_repo(self, name: str, *, private: bool = False, gated: bool = False) -> Repository:
        return self.repositories.setdefault(name, Repository(private, gated))

    def commit(self, name: str, files: dict[str, bytes], ref: str = "main") -> str:
        """The 40 digits of a commit with these files on top of what was there."""
        entries = {}
        for path, content in files.items():
            entries[path] = Entry(content, large=path.endswith(LARGE) or len(content) > 2**20)
            if entries[path].large:
                self.objects[entries[path].sha256] = content
        return self.add_repo(name).add(entries, ref)

    def add_file(self, name: str, content: bytes) -> str:
        """Puts a plain file onto the host that is no Hub; returns its address."""
        self.files[name] = content
        return f"{self.url}/files/{name}"

    def order(self, path: str, **fault: Any) -> Fault:
        self.faults.append(Fault(path, **fault))
        return self.faults[-1]

    def asked(self, path: str, method: str = "GET") -> list[Request]:
        """The requests so far whose address holds `path`."""
        return [request for request in list(self.requests) if request.method == method and path in request.path]

    def next_fault(self, method: str, path: str) -> Fault | None:
        with self.lock:
            for fault in self.faults:
                if fault.times > 0 and fault.method == method and fault.path in path:
                    fault.times -= 1
                    return fault
        return None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is not worth a traceback; everything else is."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, hub: Hub, host: str, *args: Any) -> None:
        self.hub, self.host, self.fault = hub, host, None
        super().__init__(*args)

    fault: Fault | None

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._serve()

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_PUT(self) -> None:
        self._serve()

    def _serve(self) -> None:
        body = self._body()
        headers = {key.lower(): value for key, value in self.headers.items()}
        self.hub.requests.append(Request(self.host, self.command, self.path, headers, body))
        self.fault = self.hub.next_fault(self.command, self.path)
        if self.fault and self.fault.status:
            self._send(self.fault.status, self.fault.content or b"", {})
        else:
            self._route(body)

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        pieces = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def _route(self, body: bytes) -> None:
        path = urlsplit(self.path).path
        for host, method, pattern, answer in ROUTES:
            if host == self.host and self.command in method.split("|") and (match := re.fullmatch(pattern, path)):
                return answer(self, body, **{key: unquote(value) for key, value in match.groupdict("").items()})
        self._refuse(404, "", f"no {self.command} {path} here")

    # Answers

    def _send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        fault = self.fault or Fault("")
        headers = {"Content-Length": str(len(content))} | headers | fault.headers
        if fault.length is not None:
            headers["Content-Length"] = str(fault.length)
        broken = fault.cut_after is not None or fault.length is not None
        if broken:
            self.close_connection = True
            headers["Connection"] = "close"
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self._send_body(content, fault)

    def _send_body(self, content: bytes, fault: Fault) -> None:
        end = min(len(content), *(limit for limit in (fault.cut_after, fault.stall_after) if limit is not None), 2**62)
        for start in range(0, end, 2**16):
            self.wfile.write(content[start : min(start + 2**16, end)])
            time.sleep(fault.pace)
        if fault.stall_after is not None:
            self.hub.closing.wait(60)
            self.close_connection = True

    def _say(self, answer: Any, status: int = 200, **headers: str) -> None:
        self._send(status, json.dumps(answer).encode(), {"Content-Type": "application/json", **headers})

    def _refuse(self, status: int, code: str, message: str) -> None:
        headers = {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {})
        self._say({"error": message}, status, **headers)

    def _redirect(self, status: int, location: str, headers: dict[str, str]) -> None:
        self._send(status, b"", {"Location": location, **headers})

    def _send_file(self, content: bytes, etag: str | None, headers: dict[str, str]) -> None:
        """The whole file or the part that is asked for; a part of another file than is meant is not sent."""
        fault = self.fault or Fault("")
        content = content if fault.content is None else fault.content
        headers = {"Accept-Ranges": "bytes", "Content-Type": "application/octet-stream", **headers}
        headers |= {"ETag": f'"{etag}"'} if etag else {}
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        meant = self.headers.get("If-Range", headers.get("ETag"))
        if not asked or fault.without_range or (meant is not None and meant != headers.get("ETag")):
            return self._send(200, content, headers)
        first, last = int(asked[1]), min(int(asked[2] or 2**62), len(content) - 1)
        if first > last:
            return self._send(416, b"", {**headers, "Content-Range": f"bytes */{len(content)}"})
        headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
        self._send(206, content[first : last + 1], headers)

    # Who may

    def _known(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {self.hub.token}"

    def _repository(self, name: str, *, writing: bool = False) -> Repository | None:
        """The repository, or None where a refusal has been sent."""
        if "Authorization" in self.headers and not self._known():
            self._refuse(401, "", "Invalid credentials in Authorization header")
        elif writing and not self._known():
            self._refuse(401, "", "Invalid username or password.")
        elif (there := self.hub.repositories.get(name)) is None or (there.private and not self._known()):
            # Strangers are not told whether it is missing or private.
            self._refuse(404 if self._known() else 401, "RepoNotFound", "Repository not found")
        else:
            return there
        return None

    def _tree(self, name: str, revision: str) -> tuple[str, dict[str, Entry]] | None:
        if (there := self._repository(name)) is None:
            return None
        if (commit := there.resolve(revision)) is None:
            self._refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
            return None
        return commit, there.commits[commit]

    # What is there

    def model(self, body: bytes, name: str, revision: str = "main") -> None:
        if (found := self._tree(name, revision)) is not None:
            self._say({"id": name, "sha": found[0]})

    def resolve(self, body: bytes, name: str, revision: str, path: str) -> None:
        if (found := self._tree(name, revision)) is None:
            return
        commit, tree = found
        if self.hub.repositories[name].gated:
            return self._refuse(403 if self._known() else 401, "GatedRepo", f"Access to model {name} is restricted.")
        if path not in tree:
            return self._refuse(404, "EntryNotFound", "Entry not found")
        entry = tree[path]
        headers = {"X-Repo-Commit": commit, "X-Linked-Size": str(len(entry.content)), "ETag": f'"{entry.etag}"'}
        if entry.large:
            headers["X-Linked-Etag"] = f'"{entry.sha256}"'
            headers["ETag"] = f'"{entry.blob_id}"'
            return self._redirect(302, f"{self.hub.storage_url}/lfs/{entry.sha256}?signature=signed", headers)
        self._redirect(307, f"/api/resolve-cache/models/{name}/{commit}/{quote(path)}", headers)

    def resolved(self, body: bytes, name: str, commit: str, path: str) -> None:
        if (found := self._tree(name, commit)) is not None and path in found[1]:
            entry = found[1][path]
            self._send_file(entry.content, entry.etag, {"X-Repo-Commit": commit})

    def stored(self, body: bytes, sha256: str) -> None:
        """The storage network has ETags of its own, which say nothing about the content."""
        if "Authorization" in self.headers:
            return self._refuse(400, "", "Only one auth mechanism allowed")
        if sha256 not in self.hub.objects:
            return self._refuse(404, "", "NoSuchKey")
        self._send_file(self.hub.objects[sha256], hashlib.md5(sha256.encode()).hexdigest(), {})

    def plain_file(self, body: bytes, path: str) -> None:
        if path not in self.hub.files:
            return self._refuse(404, "", "Not Found")
        content = self.hub.files[path]
        self._send_file(content, hashlib.md5(content).hexdigest()[:12], {})

    # What is brought

    def create(self, body: bytes) -> None:
        if not self._known():
            return self._refuse(401, "", "Invalid username or password.")
        asked = json.loads(body)
        name = f"{asked.get('organization') or OWNER}/{asked['name']}"
        answer = {"url": f"{self.hub.url}/{name}", "name": name, "id": "0"}
        if name in self.hub.repositories:
            return self._say(answer | {"error": "You already created this model repo"}, 409)
        private = bool(asked.get("private")) or asked.get("visibility") == "private"
        self.hub.add_repo(name, private=private).add({}, "main")
        self._say(answer)

    def validate_yaml(self, body: bytes) -> None:
        missing = not json.loads(body)["content"].startswith("---\n")
        warnings = [{"message": "empty or missing yaml metadata in repo card"}] if missing else []
        self._say({"errors": [], "warnings": warnings})

    def preupload(self, body: bytes, name: str, revision: str) -> None:
        if (there := self._repository(name, writing=True)) is None:
            return
        tree, answer = there.commits.get(there.resolve(revision) or "", {}), []
        for file in json.loads(body)["files"]:
            path = file["path"]
            mode = "lfs" if path.endswith(LARGE) or file["size"] > 2**20 else "regular"
            oid = tree[path].etag if path in tree else None
            answer.append({"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        self._say({"files": answer})

    def batch(self, body: bytes, name: str) -> None:
        if self._repository(name, writing=True) is None:
            return
        answer = []
        for asked in json.loads(body)["objects"]:
            upload = {"href": f"{self.hub.storage_url}/lfs/{asked['oid']}?signature=signed", "header": {}}
            verify = {"href": f"{self.hub.url}/{name}.git/info/lfs/objects/verify"}
            missing = asked["oid"] not in self.hub.objects
            actions = {"actions": {"upload": upload, "verify": verify}} if missing else {}
            answer.append({"oid": asked["oid"], "size": asked["size"], **actions})
        self._say({"transfer": "basic", "objects": answer})

    def store(self, body: bytes, sha256: str) -> None:
        if "Authorization" in self.headers:
            return self._refuse(400, "", "Only one auth mechanism allowed")
        if hashlib.sha256(body).hexdigest() != sha256:
            return self._refuse(400, "", "The content is not what was announced")
        self.hub.objects[sha256] = body
        self._send(200, b"", {})

    def verify(self, body: bytes, name: str) -> None:
        asked = json.loads(body)
        if self._repository(name, writing=True) is None:
            return
        if len(self.hub.objects.get(asked["oid"], b"")) != asked["size"]:
            return self._refuse(404, "", "Object not found")
        self._say({"message": "ok"})

    def add_commit(self, body: bytes, name: str, revision: str) -> None:
        if (there := self._repository(name, writing=True)) is None:
            return
        files = {}
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = Entry(base64.b64decode(value["content"]), large=False)
            elif line["key"] == "lfsFile":
                if value["oid"] not in self.hub.objects:
                    return self._refuse(400, "", f"The object {value['oid']} was never uploaded")
                files[value["path"]] = Entry(self.hub.objects[value["oid"]], large=True)
        commit = there.add(files, revision)
        self._say({"success": True, "commitOid": commit, "commitUrl": f"{self.hub.url}/{name}/commit/{commit}"})


Answer = Callable[..., None]
_REPO, _REV = r"(?P<name>[^/]+/[^/]+)", r"(?P<revision>[^/]+)"
_SHA256 = r"(?P<sha256>[0-9a-f]{64})"
ROUTES: list[tuple[str, str, str, Answer]] = [
    ("hub", "POST", "/api/repos/create", _Handler.create),
    ("hub", "POST", "/api/validate-yaml", _Handler.validate_yaml),
    ("hub", "GET", f"/api/models/{_REPO}/revision/{_REV}", _Handler.model),
    ("hub", "POST", f"/api/models/{_REPO}/preupload/{_REV}", _Handler.preupload),
    ("hub", "POST", f"/api/models/{_REPO}/commit/{_REV}", _Handler.add_commit),
    ("hub", "GET|HEAD", f"/api/resolve-cache/models/{_REPO}/(?P<commit>[0-9a-f]+)/(?P<path>.+)", _Handler.resolved),
    ("hub", "GET|HEAD", "/files/(?P<path>.+)", _Handler.plain_file),
    ("hub", "POST", f"/{_REPO}[.]git/info/lfs/objects/batch", _Handler.batch),
    ("hub", "POST", f"/{_REPO}[.]git/info/lfs/objects/verify", _Handler.verify),
    ("hub", "GET|HEAD", f"/{_REPO}/resolve/{_REV}/(?P<path>.+)", _Handler.resolve),
    ("storage", "GET|HEAD", f"/lfs/{_SHA256}", _Handler.stored),
    ("storage", "PUT", f"/lfs/{_SHA256}", _Handler.store),
]


# Addresses where nobody answers


@contextmanager
def refused() -> Iterator[str]:
    """An address where nobody listens; the port is held, so that nobody else takes it."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


@contextmanager
def unanswered() -> Iterator[str]:
    """An address where a connection is made and nothing is ever said."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@contextmanager
def dropped() -> Iterator[str]:
    """An address whose packets vanish: the queue of those who wait to be accepted is full."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listening:
        waiting = [socket.socket() for _ in range(4)]
        for queued in waiting:
            queued.setblocking(False)
            with suppress(BlockingIOError):
                queued.connect(listening.getsockname())
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        for queued in waiting:
            queued.close()


# Processes with surroundings of their own: the client reads its environment once, when it is imported


def surroundings(home: Path, endpoint: str | None = None, token: str | None = None, **more: str) -> dict[str, str]:
    """This process's environment without anything about the Hub, and then with what is given."""
    inherited = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("HF_", "HUGGING", "TRANSFORMERS_", "XDG_")) and not key.lower().endswith("_proxy")
    }
    said = {"HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "OMP_NUM_THREADS": "1"}
    said |= {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HOME": str(home), "PYTHONPATH": str(LIBRARY)}
    said |= ({"HF_ENDPOINT": endpoint} if endpoint else {}) | ({"HF_TOKEN": token} if token else {})
    return inherited | said | more


def start_child(snippet: str, environment: dict[str, str], *arguments: str) -> programs.Program:
    """A Python process that runs `snippet`, babe2 loaded and the Hub's client not; its arguments are sys.argv[1:]."""
    return programs.start("-c", snippet, *arguments, env=environment)


def finished(child: programs.Program, seconds: float = 100) -> str:
    """What the child printed; what it complained of is the error when it failed."""
    try:
        said, complaint = child.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        child.kill()
        raise
    assert child.returncode == 0, complaint
    return said


def run_child(snippet: str, environment: dict[str, str], *arguments: str) -> str:
    return finished(start_child(snippet, environment, *arguments))
