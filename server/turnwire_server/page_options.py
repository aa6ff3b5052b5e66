"""How the chat page presents itself, where it is not to be Turnwire's. Pure."""

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["PageOptions"]

_COLOUR = r"^#[0-9a-fA-F]{6}$"


class PageOptions(BaseModel):
    """What the operator says of the chat page. Absent fields are as they are built in."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    brand: str = Field(default="Turnwire", min_length=1, max_length=60)
    """The name: above the list of conversations, in the tab's title, where it is installed."""
    greeting: str | None = Field(default=None, min_length=1, max_length=200)
    """What an empty conversation asks; in every language."""
    invitation: str | None = Field(default=None, min_length=1, max_length=600)
    """The line below it."""
    accent: str | None = Field(default=None, pattern=_COLOUR)
    """The colour of buttons and links, `#rrggbb`; a contrast of 4.5 to white is readable."""
    accent_dark: str | None = Field(default=None, pattern=_COLOUR)
    """The same on dark ground; `accent` unless set."""
