"""Counts the tokens of a request and remembers prompt prefixes as the API's prompt cache does.

A token is four characters of JSON. Source: https://docs.claude.com/en/docs/build-with-claude/prompt-caching
"""

import hashlib
import json
from collections import OrderedDict
from collections.abc import Iterator

from turnwire_simulator.blocks import ApiObject

__all__ = ["PromptCache", "blocks_of"]

MAX_PREFIXES = 4096


def blocks_of(content: str | list[ApiObject]) -> list[ApiObject]:
    """The content as a list of blocks, whichever of its two forms it has."""
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


class PromptCache:
    """The prefixes that requests have marked with `cache_control`, newest kept."""

    def __init__(self) -> None:
        self._prefixes: OrderedDict[bytes, None] = OrderedDict()

    def usage(self, body: ApiObject) -> ApiObject:
        """The input counts of a valid request; its marked prefixes are remembered."""
        digest = hashlib.sha256(str(body["model"]).encode())
        characters = read = written = 0
        marked: list[bytes] = []
        pending: list[tuple[bytes, int]] = []
        for part, is_breakpoint in _parts(body):
            text = json.dumps(part, ensure_ascii=False, sort_keys=True)
            digest.update(text.encode())
            characters += len(text)
            pending.append((digest.digest(), characters))
            if is_breakpoint:
                # As in the API, a breakpoint also finds prefixes that ended before it.
                read = max([read, *(end for key, end in pending if key in self._prefixes)])
                written = characters
                marked.append(digest.digest())
                pending.clear()
        for key in marked:
            self._prefixes[key] = None
            self._prefixes.move_to_end(key)
        while len(self._prefixes) > MAX_PREFIXES:
            self._prefixes.popitem(last=False)
        return {
            "input_tokens": max(1, (characters - written) // 4),
            "cache_creation_input_tokens": (written - read) // 4,
            "cache_read_input_tokens": read // 4,
        }


def _parts(body: ApiObject) -> Iterator[tuple[ApiObject, bool]]:
    parts = list(body.get("tools") or ())
    parts += blocks_of(body.get("system") or [])
    for message in body["messages"]:
        parts += [{"role": message["role"], **block} for block in blocks_of(message["content"])]
    for number, part in enumerate(parts, 1):
        # A `cache_control` beside `messages` marks the last block.
        automatic = number == len(parts) and body.get("cache_control") is not None
        bare = {name: value for name, value in part.items() if name != "cache_control"}
        yield bare, automatic or part.get("cache_control") is not None
