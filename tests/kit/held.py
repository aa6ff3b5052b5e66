"""What this process holds in memory of something that was said to it."""

import gc

__all__ = ["holders"]


def holders(said: str) -> list[object]:
    """What holds a text with this in it, or bytes: another object than this."""
    return [
        one
        for one in gc.get_objects()
        for part in gc.get_referents(one)
        # Of what has nothing but texts in it the collector does not know.
        for text in ([part] if gc.is_tracked(part) else [part, *gc.get_referents(part)])
        if (type(text) is str and text is not said and said in text)
        or (type(text) is bytes and said.encode() in text)
    ]
