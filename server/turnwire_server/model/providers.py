"""Where Claude runs: what each place is called, and what of the environment it wants. Pure.

The clients, and how they read the environment, are the SDK's (`clients.py`):
https://platform.claude.com/docs/en/build-with-claude/overview, "Claude on 3rd-party platforms".
"""

from dataclasses import dataclass
from typing import Literal

__all__ = ["PLACES", "Place", "Provider"]

Provider = Literal[
    "anthropic", "bedrock", "bedrock-mantle", "aws", "vertex", "google-cloud", "foundry"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What is to know of one provider."""

    wants: str
    """The variables that say where and who, for people."""
    extra: str | None = None
    """The extra of this package (and of the SDK) that brings what signs its requests."""
    model: str = "claude-sonnet-5-5"
    """The model that nobody has chosen, by the name that it has there."""
    takes_fallbacks: bool = False
    """Whether it lets another model answer what one refuses (`fallbacks`)."""


PLACES: dict[Provider, Place] = {
    "anthropic": Place(wants="ANTHROPIC_API_KEY", takes_fallbacks=True),
    "bedrock": Place(
        wants="AWS_REGION, and AWS_BEARER_TOKEN_BEDROCK or credentials where AWS's own tools look"
        " for them (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, a role)",
        extra="bedrock",
        model="anthropic.claude-sonnet-5-5",
    ),
    "bedrock-mantle": Place(
        wants="AWS_REGION, and AWS_BEARER_TOKEN_BEDROCK or credentials where AWS's own tools look"
        " for them (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, a role)",
        extra="bedrock",
        model="anthropic.claude-sonnet-5-5",
    ),
    "aws": Place(
        wants="AWS_REGION, ANTHROPIC_AWS_WORKSPACE_ID, and ANTHROPIC_AWS_API_KEY or credentials"
        " where AWS's own tools look for them (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY,"
        " AWS_PROFILE, a role)",
        extra="aws",
        takes_fallbacks=True,
    ),
    "vertex": Place(
        wants="CLOUD_ML_REGION, ANTHROPIC_VERTEX_PROJECT_ID, and Google's application default"
        " credentials (gcloud auth application-default login, GOOGLE_APPLICATION_CREDENTIALS)",
        extra="vertex",
    ),
    "google-cloud": Place(
        wants="ANTHROPIC_GOOGLE_CLOUD_PROJECT, ANTHROPIC_GOOGLE_CLOUD_WORKSPACE_ID, and Google's"
        " application default credentials (gcloud auth application-default login,"
        " GOOGLE_APPLICATION_CREDENTIALS)",
        extra="google-cloud",
        takes_fallbacks=True,
    ),
    "foundry": Place(wants="ANTHROPIC_FOUNDRY_RESOURCE and ANTHROPIC_FOUNDRY_API_KEY"),
}
