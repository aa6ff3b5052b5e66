"""What a message says to install works where this was installed from."""

import json
from pathlib import Path

import pytest

from turnwire_protocol.extras import how_to_install


@pytest.mark.parametrize(
    ("url", "command"),
    [
        (None, "pip install 'elsewhere[server]'"),
        ("file:///home/ann/my%20chat", "pip install '/home/ann/my chat[server]'"),
        ("file:///tmp/elsewhere-1-py3-none-any.whl", None),
        (
            "https://example.org/e.whl",
            "pip install 'elsewhere[server] @ https://example.org/e.whl'",
        ),
    ],
)
def test_an_extra_comes_from_where_the_distribution_came_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str | None, command: str | None
) -> None:
    info = tmp_path / "elsewhere-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: elsewhere\nVersion: 1\n")
    if url is not None:
        (info / "direct_url.json").write_text(json.dumps({"url": url}))
    monkeypatch.syspath_prepend(str(tmp_path))
    command = command or "pip install '/tmp/elsewhere-1-py3-none-any.whl[server]'"
    assert how_to_install("server", name="elsewhere") == command


def test_what_is_not_installed_at_all_is_named() -> None:
    assert how_to_install("cli", name="no-such-thing") == "pip install 'no-such-thing[cli]'"
