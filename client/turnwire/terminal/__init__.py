"""`turnwire chat`, the client for people: built on the library's public classes only."""

from turnwire.terminal.command import chat

__all__ = ["chat"]
