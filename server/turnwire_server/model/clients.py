"""The SDK's clients, out of its environment: one for each place where Claude runs.

Knows no request. All of them read by one kind of HTTP client, which brings all that has come since
the last read; the SDK's default brings a chunk. The SDK looks for credentials in its configuration
only in a client of its very own class, so ours are no subclasses.
"""

import inspect
import re
from typing import TYPE_CHECKING, TypeVar
from urllib.request import getproxies, proxy_bypass
from weakref import WeakSet

import httpx2
from anthropic import (
    AnthropicError,
    AsyncAnthropic,
    AsyncAnthropicAWS,
    AsyncAnthropicBedrock,
    AsyncAnthropicBedrockMantle,
    AsyncAnthropicFoundry,
    AsyncAnthropicGoogleCloud,
    AsyncAnthropicVertex,
    DefaultAioHttpClient,
    DefaultAsyncHttpxClient,
)

from turnwire_protocol.extras import how_to_install
from turnwire_server.errors import SettingsError
from turnwire_server.model.providers import PLACES, Provider

if TYPE_CHECKING:
    from google.auth.credentials import Credentials

__all__ = [
    "Client",
    "checked",
    "client_of",
    "connect",
    "gathers",
    "has_credentials",
    "provider_name",
]

Client = AsyncAnthropic | AsyncAnthropicBedrock | AsyncAnthropicBedrockMantle | AsyncAnthropicVertex
"""The SDK's async clients; those for AWS, Google Cloud and Foundry are subclasses of the first."""

_Aws = TypeVar("_Aws", AsyncAnthropicBedrock, AsyncAnthropicBedrockMantle, AsyncAnthropicAWS)

_GOOGLE_SCOPE = "https://www.googleapis.com/auth/cloud-platform"

_IDLE_SECONDS = 30.0
"""How long a connection is kept for the next request: the steps of a turn, and who answers soon.
Less than what servers and proxies commonly wait (60 s and more), as a request must not meet their
closing."""

_gathering: WeakSet[Client] = WeakSet()


def gathers(client: Client) -> bool:
    """Whether its reads bring all that has come since the last."""
    return client in _gathering


def checked(client: Client) -> Client:
    """The client, if it can be used here.

    Raises:
        TypeError: it is none of the SDK's async clients.
    """
    if not inspect.iscoroutinefunction(getattr(client, "close", None)):
        name = type(client).__name__
        hint = f": use Async{name}" if name.startswith("Anthropic") else ""
        raise TypeError(f"client: {name} is no async client of the Anthropic SDK{hint}")
    return client


def provider_name(client: Client) -> str:
    """OpenTelemetry's name of the place (`gen_ai.provider.name`)."""
    if isinstance(client, AsyncAnthropicBedrock | AsyncAnthropicBedrockMantle):
        return "aws.bedrock"
    return "gcp.vertex_ai" if isinstance(client, AsyncAnthropicVertex) else "anthropic"


def has_credentials() -> bool:
    """Whether the SDK finds a key or token in its `ANTHROPIC_*` environment or configuration."""
    # Nothing is asked of this client.
    client = AsyncAnthropic(http_client=httpx2.AsyncClient(trust_env=False, verify=False))
    return any((client.api_key, client.auth_token, client.credentials))


def connect(base_url: str, api_key: str, *, trust_env: bool = True) -> AsyncAnthropic:
    """An SDK client for a server of the Messages API at `base_url`.

    `trust_env`: whether it goes through the proxy that the environment may name.
    """
    client = AsyncAnthropic(
        base_url=base_url, api_key=api_key, http_client=_quick(trust_env=trust_env)
    )
    if trust_env and (slower := _socks_client(client)) is not None:
        client = client.with_options(http_client=slower)
    _gathering.add(client)
    return client


def client_of(provider: Provider = "anthropic") -> Client:
    """The client of that place, out of the SDK's environment.

    Raises:
        SettingsError: the environment lacks what it wants, or a package is not installed.
    """
    try:
        client = _made(provider, _quick())
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"provider: {provider} needs the package {error.name}:"
            f" {how_to_install(PLACES[provider].extra or 'server')}"
        ) from error
    except (AnthropicError, ValueError) as error:
        raise SettingsError(
            f"provider: {provider} wants {PLACES[provider].wants}. {error}"
        ) from error
    if (slower := _socks_client(client)) is not None:
        client = client.with_options(http_client=slower)
    _gathering.add(client)
    return client


def _quick(*, trust_env: bool = True) -> httpx2.AsyncClient:
    # 0 is aiohttp's "no limit"; with None its own of 100 answers at once would apply.
    limits = httpx2.Limits(max_connections=0, keepalive_expiry=_IDLE_SECONDS)
    return DefaultAioHttpClient(limits=limits, trust_env=trust_env)


def _socks_client(client: Client) -> httpx2.AsyncClient | None:
    """The SDK's own HTTP client where the way leads through a SOCKS proxy: aiohttp knows none.

    Raises:
        SettingsError: the package that speaks SOCKS is not there.
    """
    if (proxy := _socks_proxy_for(client.base_url)) is None:
        return None
    try:
        return DefaultAsyncHttpxClient(limits=httpx2.Limits(max_connections=None))
    except ImportError as error:
        raise SettingsError(
            f"{proxy}: the environment names a SOCKS proxy, which takes a package that is not"
            " there: pip install socksio. Or name the model's host in NO_PROXY"
        ) from error


def _socks_proxy_for(url: httpx2.URL) -> str | None:
    """The variable that names a SOCKS proxy for the model; None: there is none, or not for it."""
    if proxy_bypass(url.host):
        return None
    proxies = getproxies()
    named = next((scheme for scheme in (url.scheme, "all") if scheme in proxies), None)
    is_socks = named is not None and proxies[named].lower().startswith("socks")
    return f"{named}_proxy".upper() if is_socks else None


def _made(provider: Provider, http_client: httpx2.AsyncClient) -> Client:
    """The client as the SDK makes it, and whatever it would look for at its first request only.

    Raises:
        AnthropicError, ValueError: the environment lacks something.
        ModuleNotFoundError: what signs its requests is not installed.
    """
    match provider:
        case "anthropic":
            client = AsyncAnthropic(http_client=http_client)
            _check_secrets(client)
            return client
        case "foundry":
            return AsyncAnthropicFoundry(http_client=http_client)
        case "bedrock":
            return _signing(AsyncAnthropicBedrock(http_client=http_client))
        case "bedrock-mantle":
            return _signing(AsyncAnthropicBedrockMantle(http_client=http_client))
        case "aws":
            return _signing(AsyncAnthropicAWS(http_client=http_client))
        case "vertex":
            return _vertex(http_client)
        case "google-cloud":
            return _google_cloud(http_client)


def _check_secrets(client: AsyncAnthropic) -> None:
    """Refuse a key or token that cannot go into a header: the SDK would fail at every request."""
    for name in ("api_key", "auth_token"):
        secret = getattr(client, name)
        # Also inside, where two lines were pasted.
        if isinstance(secret, str) and not re.fullmatch(r"[!-~]*", secret):
            raise SettingsError(
                f"ANTHROPIC_{name.upper()}: there is a space, a line break or a letter beyond ASCII"
                " in it. Set it again, without"
            )


def _signing(client: _Aws) -> _Aws:
    """The client, once it is known what it signs its requests with: a key, or AWS's credentials."""
    if client.api_key is None:
        from botocore.exceptions import BotoCoreError
        from botocore.session import get_session

        try:
            found = get_session().get_credentials()
        except BotoCoreError as error:
            raise ValueError(str(error)) from error
        if found is None:
            raise ValueError("There are no credentials.")
        if client.aws_region is None:
            raise ValueError("There is no region.")
    return client


def _vertex(http_client: httpx2.AsyncClient) -> AsyncAnthropicVertex:
    client = AsyncAnthropicVertex(http_client=http_client)
    client.credentials, project = _google_credentials()
    if client.project_id is None:
        # The SDK takes it from there too, but after it has asked for it.
        client.project_id = project
    if client.project_id is None:
        raise ValueError("There is no project.")
    return client


def _google_cloud(http_client: httpx2.AsyncClient) -> AsyncAnthropicGoogleCloud:
    credentials, project = _google_credentials()
    client = AsyncAnthropicGoogleCloud(credentials=credentials, http_client=http_client)
    if not client.base_url.host and project is not None:
        client = AsyncAnthropicGoogleCloud(
            credentials=credentials, project=project, http_client=http_client
        )
    if not client.base_url.host:
        raise ValueError("There is no project, or no workspace.")
    return client


def _google_credentials() -> "tuple[Credentials, str | None]":
    """The application default credentials, and the project that they are of."""
    import google.auth
    from google.auth.exceptions import GoogleAuthError

    try:
        return google.auth.default(scopes=[_GOOGLE_SCOPE])
    except GoogleAuthError as error:
        raise ValueError(str(error)) from error
