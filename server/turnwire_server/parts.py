"""What a service is made of, by its settings: its store, its model, its tools."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from turnwire_protocol.extras import how_to_install
from turnwire_server.core.blobs.blobs import Blobs
from turnwire_server.errors import SettingsError
from turnwire_server.model.late import LateClaude, LateClient, late_client
from turnwire_server.model.request import RequestForm
from turnwire_server.model.server_tools import runs_code
from turnwire_server.settings import Settings, is_postgres
from turnwire_server.store.memory import MemoryStore
from turnwire_server.store.port import Store
from turnwire_server.store.sqlite import SqliteStore
from turnwire_server.telemetry.spans import trace_headers
from turnwire_server.tools.define import as_tool, server_tool
from turnwire_server.tools.load import load_tools
from turnwire_server.tools.mcp_config import read_mcp_config
from turnwire_server.tools.toolset import Toolset

if TYPE_CHECKING:
    from turnwire_server.model.claude import Claude
    from turnwire_server.model.clients import Client
    from turnwire_server.tools.mcp import McpServers

__all__ = ["mcp_servers_of", "model_of", "store_of", "toolset_of"]


def store_of(db: str | None, *, node: str | None = None, lease_seconds: float = 15.0) -> Store:
    """The store that the setting `db` names; `node` is of the place of this process, if it has one
    that no other process can have at the same time.

    Raises:
        SettingsError: it needs a package that is not installed.
    """
    if db is None or db == ":memory:":
        return MemoryStore()
    if not is_postgres(db):
        return SqliteStore(db)
    try:
        # Most services do without the package.
        from turnwire_server.store.postgres import PostgresStore
    except ModuleNotFoundError as error:
        if error.name != "asyncpg":
            raise
        raise SettingsError(
            f"db: needs the package asyncpg: {how_to_install('postgres')}"
        ) from error
    return PostgresStore(db, node=node, lease_seconds=lease_seconds)


def model_of(
    client: "Client | LateClient | None", settings: Settings, *, is_own_machine: bool
) -> "Claude | LateClaude":
    """Claude, as the settings have it asked; without a client, by the SDK's own configuration.

    `is_own_machine`: who asks may be shown what the provider says of errors.

    Raises:
        SettingsError: the environment lacks what the provider wants.
        TypeError: the client is not async.
    """
    form = RequestForm(
        cache_ttl=settings.cache_ttl,
        model_options=settings.model_options,
        context_edits=settings.context_edits,
        skills=settings.skills,
        effort=settings.effort,
        service_tier=settings.service_tier,
        betas=settings.betas,
        more=settings.request,
    )
    exposes = settings.expose_provider_errors

    def make(client: "Client") -> "Claude":
        from turnwire_server.model.claude import Claude

        return Claude(
            client,
            stall_timeout_seconds=settings.stall_timeout,
            form=form,
            expose_errors=is_own_machine if exposes is None else exposes,
            headers=trace_headers if settings.trace_propagate else dict,
        )

    if client is None and settings.provider == "anthropic":
        client = late_client()
    if isinstance(client, LateClient):
        return LateClaude(client, make, form=form)
    if client is None:
        from turnwire_server.model.clients import client_of

        client = client_of(settings.provider)
    return make(client)


def toolset_of(tools: Iterable[object] | None, settings: Settings, blobs: Blobs) -> Toolset:
    """These tools, or else those of the settings, and the provider's.

    Raises:
        SettingsError: one of them is not valid, or what the skills want is not among them.
    """
    toolset = Toolset(
        [
            *map(as_tool, _loaded(settings.tools if tools is None else tools)),
            *map(server_tool, settings.server_tools),
        ],
        timeout_seconds=settings.tool_timeout,
        shelf=blobs,
    )
    if settings.skills and not any(map(runs_code, toolset.specifications())):
        raise SettingsError("skills: they are for the tool code_execution, which is not there")
    return toolset


def mcp_servers_of(settings: Settings, toolset: Toolset) -> "McpServers | None":
    """The MCP servers that the settings name, not connected; what they offer goes to the toolset.

    Raises:
        SettingsError: their file cannot be read, or the package for it is not installed.
    """
    if settings.mcp is None:
        return None
    servers = read_mcp_config(settings.mcp)
    # The package takes a second to import, and most services do without.
    from turnwire_server.tools.mcp import McpServers

    return McpServers(
        servers,
        toolset,
        base_delay_seconds=settings.base_delay,
        max_delay_seconds=settings.max_delay,
    )


def _loaded(tools: Iterable[object]) -> Iterator[object]:
    for candidate in tools:
        if isinstance(candidate, str):
            yield from load_tools(candidate)
        else:
            yield candidate
