"""A stub of the hub's HTTP API: no hub can be had here, so this answers the real client's requests.

It looks at each request as the hub does (token, repository, form of the body) and remembers what
became of its Spaces. What it does not know is a 404, and is written down in `unexpected`.
"""

import base64
import hashlib
import json
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import yaml
from huggingface_hub import constants
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from tqdm import tqdm

from tests.serving import serving_elsewhere

TOKEN = "hf_stub_of_a_token"
USER = "somebody"
HARDWARE = ("cpu-basic", "cpu-upgrade", "t4-small")


@dataclass
class Space:
    """One repository."""

    id: str
    files: dict[str, bytes] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    private: bool = False
    hardware: str = "cpu-basic"
    stage: str = "RUNNING"
    host: str = "http://127.0.0.1:9"
    messages: list[str] = field(default_factory=list)
    pull_requests: list[dict[str, bytes]] = field(default_factory=list)

    @property
    def sha(self) -> str:
        """The commit: a name for what is in it."""
        whole = repr((self.id, sorted(self.files.items()))).encode()
        return hashlib.sha1(whole).hexdigest()

    def runtime(self) -> dict[str, Any]:
        hardware = {"current": self.hardware, "requested": self.hardware}
        return {"stage": self.stage, "hardware": hardware}

    def info(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "sha": self.sha,
            "private": self.private,
            "sdk": "docker",
            "host": self.host,
            "likes": 1,
            "subdomain": self.id.replace("/", "-"),
            "runtime": self.runtime(),
            "siblings": [{"rfilename": path} for path in self.files],
        }


class HubStub:
    """Spaces, and who asked what of them."""

    def __init__(self) -> None:
        self.spaces: dict[str, Space] = {}
        self.asked: list[str] = []
        self.unexpected: list[str] = []

    @property
    def app(self) -> Starlette:
        routes: list[tuple[str, str, Callable[[Request], Awaitable[Response]]]] = [
            ("GET", "/api/whoami-v2", self.whoami),
            ("POST", "/api/repos/create", self.create),
            ("POST", "/api/validate-yaml", self.validate_yaml),
            ("GET", "/api/spaces", self.list),
            ("GET", "/api/spaces/{o}/{n}", self.info),
            ("GET", "/api/spaces/{o}/{n}/revision/{revision}", self.info),
            ("GET", "/api/spaces/{o}/{n}/tree/{revision}", self.tree),
            ("GET", "/api/spaces/{o}/{n}/runtime", self.runtime),
            ("POST", "/api/spaces/{o}/{n}/preupload/main", self.preupload),
            ("POST", "/api/spaces/{o}/{n}/commit/main", self.commit),
            ("POST", "/api/spaces/{o}/{n}/variables", self.variables),
            ("POST", "/api/spaces/{o}/{n}/secrets", self.secrets),
            ("POST", "/api/spaces/{o}/{n}/hardware", self.hardware),
            ("PUT", "/api/spaces/{o}/{n}/settings", self.settings),
            ("POST", "/api/spaces/{o}/{n}/duplicate", self.duplicate),
            ("GET", "/spaces/{o}/{n}/resolve/{revision}/{path:path}", self.resolve),
        ]
        named = [Route(path, self.noted(do), methods=[how]) for how, path, do in routes]
        return Starlette(
            routes=[*named, Route("/{path:path}", self.unknown, methods=["GET", "POST"])]
        )

    def noted(
        self, do: Callable[[Request], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            self.asked.append(f"{request.method} {request.url.path}")
            try:
                return await do(request)
            except Refusal as refusal:
                return refusal.response

        return answer

    async def unknown(self, request: Request) -> Response:
        self.unexpected.append(f"{request.method} {request.url.path}")
        return JSONResponse({"error": "Not Found"}, 404)

    # ---- who, and which

    def is_logged_in(self, request: Request) -> bool:
        given = request.headers.get("authorization")
        if given not in (None, f"Bearer {TOKEN}"):
            raise Refusal(401, "Invalid credentials in Authorization header")
        return given is not None

    def writer(self, request: Request) -> None:
        if not self.is_logged_in(request):
            raise Refusal(401, "Invalid username or password.")

    def space(self, request: Request) -> Space:
        name = "{o}/{n}".format(**request.path_params)
        may_see_all = self.is_logged_in(request)
        space = self.spaces.get(name)
        if space is None or (space.private and not may_see_all):
            # What the hub says to those whom it does not know, and to others.
            raise Refusal(404 if may_see_all else 401, "Repository not found", "RepoNotFound")
        return space

    def own(self, request: Request) -> Space:
        self.writer(request)
        space = self.space(request)
        if not space.id.startswith(f"{USER}/"):
            raise Refusal(403, "You don't have the rights to write to this repository")
        return space

    # ---- routes

    async def whoami(self, request: Request) -> Response:
        self.writer(request)
        return JSONResponse({"type": "user", "name": USER, "orgs": []})

    async def create(self, request: Request) -> Response:
        self.writer(request)
        body = await request.json()
        assert (body["type"], body["sdk"]) == ("space", "docker")
        name = f"{body.get('organization') or USER}/{body['name']}"
        if name.partition("/")[0] != USER:
            raise Refusal(403, f"You don't have the rights to create a space under {name}")
        if name in self.spaces:
            raise Refusal(409, "You already created this space repo")
        self.spaces[name] = self.configured(Space(name, {".gitattributes": b""}), body)
        return JSONResponse({"url": f"{request.base_url}spaces/{name}", "name": name})

    def configured(self, space: Space, body: dict[str, Any]) -> Space:
        hardware = body.get("hardware", "cpu-basic")
        if hardware not in HARDWARE:
            raise Refusal(400, f"Invalid hardware: {hardware}")
        space.hardware = hardware
        space.private = body.get("visibility") == "private" or body.get("private", False)
        space.variables |= {one["key"]: one["value"] for one in body.get("variables", ())}
        space.secrets |= {one["key"]: one["value"] for one in body.get("secrets", ())}
        return space

    async def validate_yaml(self, request: Request) -> Response:
        body = await request.json()
        assert body["repoType"] == "space"
        head = re.match(r"---\n(.*?\n)---\n", body["content"], re.DOTALL)
        matter = yaml.safe_load(head[1]) if head else {}
        colors = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
        errors = [
            {"message": f'"{key}" is wrong'}
            for key in ("colorFrom", "colorTo")
            if matter.get(key) not in colors
        ]
        if len(matter.get("short_description", "")) > 60:
            errors.append({"message": '"short_description" is too long'})
        answer = {"errors": errors, "warnings": []}
        return JSONResponse(answer, 400 if errors else 200)

    async def list(self, request: Request) -> Response:
        assert request.query_params["filter"] == "openenv"
        return JSONResponse([one.info() for one in self.spaces.values() if not one.private])

    async def info(self, request: Request) -> Response:
        return JSONResponse(self.space(request).info())

    async def runtime(self, request: Request) -> Response:
        return JSONResponse(self.space(request).runtime())

    async def tree(self, request: Request) -> Response:
        files = self.space(request).files
        return JSONResponse(
            [
                {"type": "file", "path": path, "size": len(data), "oid": blob_id(data)}
                for path, data in files.items()
            ]
        )

    async def preupload(self, request: Request) -> Response:
        self.writer(request)
        as_request = request.query_params.get("create_pr") == "1"
        space = self.space(request) if as_request else self.own(request)
        answers = []
        for one in (await request.json())["files"]:
            assert base64.b64decode(one["sample"]) or one["size"] == 0
            known = space.files.get(one["path"])
            answers.append(
                {
                    "path": one["path"],
                    "uploadMode": "regular",
                    "shouldIgnore": False,
                    "oid": None if known is None else blob_id(known),
                }
            )
        return JSONResponse({"files": answers})

    async def commit(self, request: Request) -> Response:
        as_request = request.query_params.get("create_pr") == "1"
        self.writer(request)
        space = self.space(request) if as_request else self.own(request)
        assert request.headers["content-type"] == "application/x-ndjson"
        lines = [json.loads(line) for line in (await request.body()).splitlines()]
        files = dict(space.files)
        assert lines[0]["key"] == "header"
        for line in lines[1:]:
            value = line["value"]
            if line["key"] == "deletedFile":
                del files[value["path"]]
            else:
                assert (line["key"], value["encoding"]) == ("file", "base64")
                files[value["path"]] = base64.b64decode(value["content"])
        url = f"{request.base_url}spaces/{space.id}"
        answer = {"success": True, "commitUrl": f"{url}/commit/1", "commitOid": space.sha}
        if as_request:
            space.pull_requests.append(files)
            return JSONResponse(answer | {"pullRequestUrl": f"{url}/discussions/1"})
        space.files = files
        space.messages.append(lines[0]["value"]["summary"])
        return JSONResponse(answer | {"commitOid": space.sha})

    async def variables(self, request: Request) -> Response:
        space, body = self.own(request), await request.json()
        space.variables[body["key"]] = body["value"]
        described = {name: {"key": name, "value": v} for name, v in space.variables.items()}
        return JSONResponse(described)

    async def secrets(self, request: Request) -> Response:
        space, body = self.own(request), await request.json()
        space.secrets[body["key"]] = body["value"]
        return JSONResponse({})

    async def hardware(self, request: Request) -> Response:
        space, body = self.own(request), await request.json()
        return JSONResponse(self.configured(space, {"hardware": body["flavor"]}).runtime())

    async def settings(self, request: Request) -> Response:
        space, body = self.own(request), await request.json()
        space.private = body.get("visibility") == "private"
        return JSONResponse({})

    async def duplicate(self, request: Request) -> Response:
        self.writer(request)
        source, body = self.space(request), await request.json()
        name = body["repository"]
        if name in self.spaces:
            raise Refusal(409, "You already created this space repo")
        copy = Space(name, dict(source.files), dict(source.variables))
        self.spaces[name] = self.configured(copy, body)
        return JSONResponse({"url": f"{request.base_url}spaces/{name}"})

    async def resolve(self, request: Request) -> Response:
        space = self.space(request)
        assert request.path_params["revision"] == space.sha
        data = space.files.get(request.path_params["path"])
        if data is None:
            raise Refusal(404, "Entry not found", "EntryNotFound")
        headers = {"ETag": f'"{blob_id(data)}"', "X-Repo-Commit": space.sha}
        return Response(data, headers=headers, media_type="application/octet-stream")


class SpaceFront:
    """What stands before a Space's server: it wakes one that sleeps, and looks at tokens."""

    def __init__(self, space: Space, app: Any, wakes_in: int = 2) -> None:
        self._space = space
        self._app = app
        self._wakes_in = wakes_in
        self.authorizations: list[str | None] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        given = dict(scope["headers"]).get(b"authorization")
        self.authorizations.append(given and given.decode())
        is_for_it = not self._space.private or given == f"Bearer {TOKEN}".encode()
        if is_for_it and self._space.stage == "RUNNING":
            await self._app(scope, receive, send)
            return
        if is_for_it and self._space.stage in ("SLEEPING", "APP_STARTING"):
            self._wakes_in -= 1
            self._space.stage = "APP_STARTING" if self._wakes_in else "RUNNING"
        await Response("not now", 404 if not is_for_it else 503)(scope, receive, send)


class Refusal(Exception):
    """An answer that says no."""

    def __init__(self, status: int, said: str, code: str | None = None) -> None:
        super().__init__(said)
        headers = {"X-Error-Message": said} | ({"X-Error-Code": code} if code else {})
        self.response = JSONResponse({"error": said}, status, headers)


def blob_id(data: bytes) -> str:
    """Return what git calls a file of this content."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@contextmanager
def serving_hub(monkeypatch: pytest.MonkeyPatch, cache: Any) -> Iterator[HubStub]:
    """Have the real client ask a stub meanwhile, logged in, with a cache of its own."""
    stub = HubStub()
    with serving_elsewhere(stub.app) as url:
        monkeypatch.setenv("HF_ENDPOINT", url)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
        # Its progress bars would leave a thread behind.
        monkeypatch.setattr(tqdm, "monitor_interval", 0)
        yield stub
    assert stub.unexpected == []
