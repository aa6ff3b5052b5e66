"""Counts the tokens of a request and remembers prompt prefixes as the API's prompt cache does.

A prefix is written at each breakpoint, and only there. Each breakpoint reads the longest prefix
that was written before, among itself and the 19 blocks ahead of it. (The least length that the API
caches is not kept to: tests are short.) A token is four characters of JSON.

Source: https://docs.claude.com/en/docs/build-with-claude/prompt-caching
"""

import hashlib
import json
from collections import OrderedDict, deque
from collections.abc import Iterator

from turnwire_simulator.blocks import ApiObject

__all__ = ["PromptCache", "blocks_of", "tokens_of"]

LOOKBACK_BLOCKS = 20
MAX_PREFIXES = 4096


def blocks_of(content: str | list[ApiObject]) -> list[ApiObject]:
    """The content as a list of blocks, whichever of its two forms it has."""
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def tokens_of(body: ApiObject) -> int:
    """How many tokens the request has."""
    characters = (len(json.dumps(p, ensure_ascii=False, sort_keys=True)) for p, _ in _parts(body))
    return sum(characters) // 4


class PromptCache:
    """The prefixes that requests have marked with `cache_control`, newest kept."""

    def __init__(self) -> None:
        self._prefixes: OrderedDict[bytes, None] = OrderedDict()

    def usage(self, body: ApiObject) -> ApiObject:
        """The input counts of a valid request; its marked prefixes are remembered."""
        digest = hashlib.sha256(str(body["model"]).encode())
        characters = read = written = 0
        marked: list[bytes] = []
        written_for = {"5m": 0, "1h": 0}
        window: deque[tuple[bytes, int]] = deque(maxlen=LOOKBACK_BLOCKS)
        for part, ttl in _parts(body):
            text = json.dumps(part, ensure_ascii=False, sort_keys=True)
            digest.update(text.encode())
            characters += len(text)
            window.append((digest.digest(), characters))
            if ttl is not None:
                found = [end for key, end in window if key in self._prefixes]
                read = max([read, *found])
                written_for[ttl] += characters - max(written, read)
                written = characters
                marked.append(digest.digest())
        for key in marked:
            self._prefixes[key] = None
            self._prefixes.move_to_end(key)
        while len(self._prefixes) > MAX_PREFIXES:
            self._prefixes.popitem(last=False)
        creation = {
            f"ephemeral_{ttl}_input_tokens": max(0, count) // 4
            for ttl, count in written_for.items()
        }
        return {
            "input_tokens": max(1, (characters - written) // 4),
            "cache_creation_input_tokens": (written - read) // 4,
            "cache_read_input_tokens": read // 4,
            "cache_creation": creation,
        }


def _parts(body: ApiObject) -> Iterator[tuple[ApiObject, str | None]]:
    """Each block without its mark, and for how long its mark caches."""
    parts = list(body.get("tools") or ())
    parts += blocks_of(body.get("system") or [])
    for message in body["messages"]:
        parts += [{"role": message["role"], **block} for block in blocks_of(message["content"])]
    for number, part in enumerate(parts, 1):
        # A `cache_control` beside `messages` marks the last block.
        automatic = body.get("cache_control") if number == len(parts) else None
        control = part.get("cache_control") or automatic
        bare = {name: value for name, value in part.items() if name != "cache_control"}
        yield bare, None if control is None else control.get("ttl") or "5m"
