"""What a line of the log says by name: text for people, fields for `--log-format json`."""

__all__ = ["Fields"]


class Fields(dict[str, str | int | float | None]):
    """An argument of a log call, for its `%s`: `a=1 b=-`; None is what there is none of."""

    def __str__(self) -> str:
        return " ".join(f"{name}={'-' if value is None else value}" for name, value in self.items())
