"""What a server must say of itself over HTTP, as existing validators look at it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from openenv.cli.validation.report import CheckFailed, NotApplicable
from openenv.payloads import PAYLOADS
from openenv.payloads.schema import properties

if TYPE_CHECKING:
    from openenv.cli.validation.http import JsonCaller, Reply

_OK = 200
_EPISODES = ("/reset", "/step", "/state")


class Endpoints:
    """The checks. What they learn, others use: `schemas`, `health`, `version`, `mode`."""

    def __init__(self, http: JsonCaller) -> None:
        self._http = http
        self.version: str | None = None
        self.mode: str | None = None
        self.name: str | None = None
        self.health: dict[str, Any] = {}
        self.schemas: dict[str, Any] = {}
        self._paths: dict[str, Any] = {}

    async def check_openapi(self) -> str:
        """Get the OpenAPI document."""
        reply = await self._http.request("GET", "/openapi.json")
        document = _object(reply)
        version = (document.get("info") or {}).get("version")
        _expect(
            reply.status == _OK and isinstance(version, str),
            {"status_code": _OK, "info.version": "string"},
            {"status_code": reply.status, "info.version": version},
        )
        self.version, self._paths = str(version), document.get("paths") or {}
        return f"version {version}, {len(self._paths)} paths"

    async def check_health(self) -> str:
        """Get the health."""
        reply = await self._http.request("GET", "/health")
        self.health = _object(reply)
        status = self.health.get("status")
        _expect(
            reply.status == _OK and status == "healthy",
            {"status_code": _OK, "status": "healthy"},
            {"status_code": reply.status, "status": status},
        )
        return "healthy"

    async def check_metadata(self) -> str:
        """Get name and description."""
        reply = await self._http.request("GET", "/metadata")
        metadata = _object(reply)
        name, description = metadata.get("name"), metadata.get("description")
        _expect(
            reply.status == _OK and isinstance(name, str) and isinstance(description, str),
            {"status_code": _OK, "fields": ["name", "description"]},
            {"status_code": reply.status, "name": name, "description": description},
        )
        self.name = name
        return f"{name}: {description}"

    async def check_schema(self) -> str:
        """Get the schemas of actions, observations and states."""
        reply = await self._http.request("GET", "/schema")
        schemas = _object(reply)
        _expect(
            reply.status == _OK and all(isinstance(schemas.get(name), dict) for name in PAYLOADS),
            {"status_code": _OK, "fields": list(PAYLOADS)},
            {
                "status_code": reply.status,
                **{f"has_{name}": isinstance(schemas.get(name), dict) for name in PAYLOADS},
            },
        )
        self.schemas = schemas
        fields = ", ".join(properties(schemas["action"])) or "none in particular"
        return f"fields of actions: {fields}"

    async def check_mcp(self) -> str:
        """Ask the MCP endpoint, if there is one."""
        reply = await self._http.request("POST", "/mcp", {})
        actual = {"status_code": reply.status, "jsonrpc": _object(reply).get("jsonrpc")}
        if reply.status in (404, 405) and "/mcp" not in self._paths:
            raise NotApplicable("this server offers no MCP tools")
        _expect(
            reply.status == _OK and actual["jsonrpc"] == "2.0",
            {"status_code": _OK, "jsonrpc": "2.0"},
            actual,
        )
        return "answers JSON-RPC 2.0"

    async def check_mode(self) -> str:
        """See whether episodes can be played over HTTP: either entirely, or not at all."""
        if self.version is None:
            raise NotApplicable("needs openapi_version_available")
        has = {path: path in self._paths for path in _EPISODES}
        self.mode = "simulation" if has["/reset"] else "production"
        _expect(len(set(has.values())) == 1, dict.fromkeys(has, has["/reset"]), has)
        return self.mode


def _object(reply: Reply) -> dict[str, Any]:
    return reply.body if isinstance(reply.body, dict) else {}


def _expect(is_so: bool, expected: dict[str, Any], actual: dict[str, Any]) -> None:
    if not is_so:
        told = (
            f"{name} is {value!r}"
            for name, value in actual.items()
            if name not in expected or value != expected[name]
        )
        raise CheckFailed(", ".join(told), expected=expected, actual=actual)
