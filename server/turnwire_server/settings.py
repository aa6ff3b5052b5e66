"""All settings, one table: a CLI flag, a `TURNWIRE_*` variable and a keyword of `Turnwire` alike.

The one module that reads the environment (and `.env`). `ANTHROPIC_*` is the SDK's own, and so are
those of the platforms: what `.env` says of them is passed on.
"""

import difflib
import ipaddress
import logging
import os
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, Self, TypedDict, get_args

from dotenv import dotenv_values
from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from pydantic_settings.exceptions import SettingsError as BadSource

from turnwire_protocol import Effort, ThinkingOption
from turnwire_server.core.limits import ServiceLimits
from turnwire_server.core.turn.options import ClientOption, Policy, Source
from turnwire_server.core.turn.usage import Price
from turnwire_server.errors import SettingsError
from turnwire_server.model.breakpoints import CacheTtl
from turnwire_server.model.families import ModelOptions
from turnwire_server.model.providers import PLACES, Provider
from turnwire_server.model.request import ServiceTier
from turnwire_server.model.server_tools import SERVER_TOOLS
from turnwire_server.page_options import PageOptions
from turnwire_server.telemetry.names import Signal, UserNames

__all__ = [
    "SettingOptions",
    "Settings",
    "Wire",
    "default_db",
    "exported_signals",
    "is_postgres",
    "load_settings",
]


logger = logging.getLogger(__name__)

_PREFIX = "TURNWIRE_"
_DOT_ENV = ".env"
_OF_SDK = ("ANTHROPIC_", "AWS_", "GOOGLE_", "CLOUD_ML_REGION", "OTEL_")
_CLIENTS = {"TURNWIRE_URL"}
"""Variables that the clients read."""
_named: set[str] = set()
"""What the log has said of: the settings are loaded more than once."""
_PRIVATE = (
    "127.0.0.0/8",
    "::1/128",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",
    "169.254.0.0/16",
    "fc00::/7",
    "fe80::/10",
)


def default_db() -> str:
    """Where this user's database belongs (https://specifications.freedesktop.org/basedir-spec/)."""
    base = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    return os.path.join(base, "turnwire", "turnwire.db")


def exported_signals() -> set[Signal]:
    """What OpenTelemetry's variables say is to be sent by OTLP
    (https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/); names the
    service where they do not."""
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return set()
    found = {
        signal
        for signal in get_args(Signal)
        if (
            os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
            or os.environ.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT")
        )
        and os.environ.get(f"OTEL_{signal.upper()}_EXPORTER", "otlp") == "otlp"
    }
    if found and "service.name=" not in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", ""):
        os.environ.setdefault("OTEL_SERVICE_NAME", "turnwire")
    return found


def is_postgres(db: str) -> bool:
    """Whether the database is a PostgreSQL, and not a file."""
    return db.startswith(("postgresql://", "postgres://"))


Wire = Literal["ai_sdk", "ag_ui", "openai"]


class Settings(BaseSettings, Policy):
    """How the service runs: what turns live by (`Policy`), and what is around them."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX,
        env_file=_DOT_ENV,
        extra="ignore",
        frozen=True,
        use_attribute_docstrings=True,
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only where something of ours stands: to look for each setting in each place takes
        milliseconds."""
        places = (env_settings, dotenv_settings)
        return init_settings, *filter(_has_settings, places)

    host: str = "127.0.0.1"
    """Address to listen on; anything but this machine needs a token."""
    port: int = Field(default=8000, ge=0, le=65535)
    """Port to listen on; 0 takes a free one."""
    workers: int = Field(default=1, ge=1, le=256)
    """Processes that share the port of `turnwire serve`, each with a core of its own; more than one
    need a PostgreSQL."""
    provider: Provider = "anthropic"
    """Where Claude runs: `anthropic`, `bedrock`, `bedrock-mantle`, `aws`, `vertex`, `google-cloud`
    or `foundry`. Regions, projects and credentials are the SDK's own variables
    (server/OPERATE.md)."""
    db: str | None = Field(default=None, repr=False)
    """File of the database, or the address of a PostgreSQL (`postgresql://user@host/name`), which
    several processes may share; `:memory:` (the library's default) keeps nothing."""
    lease: float = Field(default=15.0, gt=0)
    """Seconds without a word after which others take over what a process had under way, where
    several share a PostgreSQL."""
    commit_interval: float = Field(default=0.02, ge=0, le=1)
    """Seconds for which tokens gather before they are stored and shown, where the database is a
    PostgreSQL; first tokens, and all that is no token, do not wait."""
    token: str | None = Field(default=None, min_length=8, repr=False)
    """One shared bearer token; without it only this machine is served."""
    allow_origins: list[str] = []
    """Origins of other web pages that may use the service; `*` for all."""
    allow_hosts: list[str] = []
    """Names (`Host`) that the service is asked by, `*.example.com` for all below one; besides this
    machine's. Unless set, with a token any name will do."""
    proxies: list[str] = list(_PRIVATE)
    """Addresses and networks in which proxies may stand, so that many clients come from one
    address: connections from there count for `limits.max_connections` only, and wrong tokens for
    the address that the proxy names in `X-Forwarded-For`. By default this machine and the private
    networks."""
    tools: list[str] = []
    """Python files or modules with tools that run in the server."""
    server_tools: list[str] = []
    """Tools that the provider runs, by name: `web_search`, `web_fetch`, `code_execution`,
    `tool_search_tool_bm25`, `tool_search_tool_regex`; in the newest version a model knows."""
    skills: list[str] = []
    """Skills for `code_execution`, by name (`pptx`) or id (`skill_…`), with `@version` behind it if
    it is not to be the latest."""
    mcp: str | None = None
    """JSON file that names MCP servers, in the usual `mcpServers` form."""
    tool_timeout: float = Field(default=60.0, gt=0)
    """Longest run of a tool, in seconds, unless the tool says otherwise."""
    stall_timeout: float = Field(default=60.0, gt=0)
    """Seconds without a byte from the model until the attempt fails."""
    cache_ttl: CacheTtl = "5m"
    """How long the provider keeps what it caches of a prompt: `5m` or, at a higher price, `1h`."""
    expose_provider_errors: bool | None = None
    """Whether clients are told a failure in the provider's own words; unless set, only where no
    token and no authenticator is (then the clients are those who run it)."""
    page: PageOptions = PageOptions()
    """How the chat page presents itself: `brand`, `greeting`, `invitation`, `accent`,
    `accent_dark`."""
    wires: list[Wire] = list(get_args(Wire))
    """Formats of other front ends that are served, too (server/WIRES.md)."""
    metrics: bool = False
    """Whether `GET /metrics` shows metrics to Prometheus: to whoever has the token, or to this
    machine (server/OPERATE.md)."""
    trace_content: bool = False
    """Whether OpenTelemetry's spans have what was said in them: messages, inputs and results."""
    trace_users: UserNames = "none"
    """Whether they name the principal (`user.id`): `none`, `hashed` or `plain`."""
    trace_propagate: bool = False
    """Whether requests to the model carry the trace's id (`traceparent`)."""
    log_format: Literal["text", "json"] = "text"
    """How `turnwire serve` writes its log."""
    drain_grace: float = Field(default=30.0, ge=0)
    """Seconds that running turns get to finish when the service is stopped."""
    limits: ServiceLimits = ServiceLimits()
    """Bounds on sizes, rates and counts."""

    @model_validator(mode="before")
    @classmethod
    def _name_model(cls, given: Any) -> Any:
        # Models have other names at some providers.
        provider = given.get("provider") if isinstance(given, dict) else None
        place = next((place for name, place in PLACES.items() if name == provider), None)
        return given if place is None else {"model": place.model, **given}

    @field_validator("proxies")
    @classmethod
    def _check_networks(cls, proxies: list[str]) -> list[str]:
        for network in proxies:
            ipaddress.ip_network(network)
        return proxies

    @field_validator("server_tools")
    @classmethod
    def _check_server_tools(cls, names: list[str]) -> list[str]:
        names = _split(names)
        for name in names:
            if name not in SERVER_TOOLS:
                raise ValueError(f"{name!r:.80} is none of {', '.join(SERVER_TOOLS)}")
        return names

    @field_validator("skills")
    @classmethod
    def _check_skills(cls, names: list[str]) -> list[str]:
        return _split(names)

    @model_validator(mode="after")
    def _check_provider(self) -> Self:
        if self.fallbacks and not PLACES[self.provider].takes_fallbacks:
            raise ValueError(f"fallbacks: {self.provider} has none; the Claude API has")
        return self

    @model_validator(mode="after")
    def _check_metrics(self) -> Self:
        if self.metrics and self.workers > 1:
            # Whoever asks would be shown one of them, another one each time.
            raise ValueError(
                "metrics: each worker has its own, and they share the port. With several workers"
                " send them by OTLP: OTEL_EXPORTER_OTLP_ENDPOINT"
            )
        return self

    @model_validator(mode="after")
    def _check_prices(self) -> Self:
        if self.limits.max_cost_usd_per_day is not None:
            used = {*self.all_models, self.fallback_model or self.model}
            if missing := sorted(used - self.prices.keys()):
                # A model without a price would be used without any bound.
                bound = "limits.max_cost_usd_per_day"
                raise ValueError(f"{bound} needs prices of all models: {', '.join(missing)}")
        return self


def _split(names: list[str]) -> list[str]:
    """Each once; several may stand in one, with commas between."""
    found = (name.strip() for each in names for name in each.split(","))
    return list(dict.fromkeys(filter(None, found)))


class SettingOptions(TypedDict, total=False):
    """The settings as keywords of `Turnwire`, for editors and type checkers. None: not given.

    Tied to `Settings` by a test. `tools` is a keyword of its own there.
    """

    host: str | None
    port: int | None
    workers: int | None
    provider: Provider | None
    db: str | None
    token: str | None
    allow_origins: Sequence[str] | None
    allow_hosts: Sequence[str] | None
    proxies: Sequence[str] | None
    server_tools: Sequence[str] | None
    skills: Sequence[str] | None
    mcp: str | None
    tool_timeout: float | None
    stall_timeout: float | None
    cache_ttl: CacheTtl | None
    lease: float | None
    commit_interval: float | None
    expose_provider_errors: bool | None
    page: PageOptions | Mapping[str, str] | None
    wires: Sequence[Wire] | None
    metrics: bool | None
    trace_content: bool | None
    trace_users: UserNames | None
    trace_propagate: bool | None
    log_format: Literal["text", "json"] | None
    drain_grace: float | None
    limits: ServiceLimits | Mapping[str, float] | None
    model: str | None
    models: Sequence[str] | None
    fallback_model: str | None
    fallbacks: Sequence[str] | None
    system: str | None
    max_tokens: int | None
    thinking: ThinkingOption | Mapping[str, object] | None
    model_options: Mapping[str, ModelOptions | Mapping[str, object]] | None
    compact_at: float | None
    title_model: str | None
    context_edits: Sequence[Mapping[str, object]] | None
    effort: Effort | None
    temperature: float | None
    top_p: float | None
    top_k: int | None
    stop_sequences: Sequence[str] | None
    service_tier: ServiceTier | None
    user_ids: bool | None
    request: Mapping[str, object] | None
    sources: Sequence[Source] | None
    betas: Sequence[str] | None
    client_options: Collection[ClientOption] | None
    max_steps: int | None
    max_queued: int | None
    retries: int | None
    base_delay: float | None
    max_delay: float | None
    turn_timeout: float | None
    approval_timeout: float | None
    client_tool_timeout: float | None
    detach_grace: float | None
    prices: Mapping[str, Price | Mapping[str, float]] | None


def _has_settings(source: PydanticBaseSettingsSource) -> bool:
    if not isinstance(source, EnvSettingsSource):
        return True
    prefix = _PREFIX.lower()
    return any(prefix + field in source.env_vars for field in Settings.model_fields)


def _in_dot_env() -> dict[str, str]:
    """What stands in `.env`, as pydantic-settings reads it."""
    return {name: value or "" for name, value in dotenv_values(_DOT_ENV).items()}


def _pass_on_to_sdk(named: Mapping[str, str]) -> None:
    """What is the SDK's in `.env`, where it looks for it; the environment wins."""
    for name, value in named.items():
        if name.startswith(_OF_SDK) and not os.environ.get(name):
            os.environ[name] = value


def _name_misspelt(named: Collection[str]) -> None:
    """Log, once each, the variables that look like settings and are none."""
    known = {_PREFIX + field.upper() for field in Settings.model_fields} | _CLIENTS
    for name in sorted({name.upper() for name in named} - known - _named):
        if name.startswith(_PREFIX) and not name.startswith(f"{_PREFIX}TEST_"):
            near = difflib.get_close_matches(name, known, n=1)
            logger.warning("%s is no setting%s", name, f": {near[0]}?" if near else "")
            _named.add(name)


def load_settings(**given: Any) -> Settings:
    """The settings; what is given wins over the environment, None counts as not given.

    Raises:
        SettingsError: one of them is not valid; the message names it.
    """
    in_dot_env = _in_dot_env()
    _pass_on_to_sdk(in_dot_env)
    _name_misspelt({*in_dot_env, *os.environ})
    for name in given:
        if name not in Settings.model_fields:
            raise SettingsError(f"{name}: there is no such setting")
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise SettingsError(f"{where or 'settings'}: {problem['msg']}") from error
    except BadSource as error:
        # Of a list or an object in the environment; its message names the field.
        raise SettingsError(f"{error}: it must be JSON") from error
