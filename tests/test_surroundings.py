"""What the shell holds of who runs the tests stays outside, and shows the way to registries."""

import json
import os
import subprocess
import sys

from tests.kit.checkout import ROOT

ENTER = """
import json, os
from tests.kit import surroundings
before = surroundings.for_a_registry()
assert before == os.environ, "who has not entered has it all"
surroundings.enter()
print(json.dumps([dict(os.environ), surroundings.for_a_registry()]))
"""


def test_what_a_developer_or_an_operator_has_set_reaches_no_test() -> None:
    left_out = {
        "TURNWIRE_TOKEN": "secret",
        "ANTHROPIC_BASE_URL": "http://127.0.0.1:9",
        "NODE_ENV": "production",
        "COLUMNS": "40",
        "PGHOST": "db.example",
    }
    way = {"https_proxy": "http://127.0.0.1:9", "SSL_CERT_DIR": "/certificates"}
    kept = {"TURNWIRE_TEST_PATIENCE": "2", "UV_INDEX_URL": "http://127.0.0.1:9", "CI": "true"}
    done = subprocess.run(
        [sys.executable, "-c", ENTER],
        cwd=ROOT,
        env={**os.environ, **left_out, **way, **kept},
        check=True,
        capture_output=True,
        encoding="utf-8",
    )
    tests, registry = json.loads(done.stdout)
    assert tests.items() >= kept.items()
    assert not tests.keys() & left_out.keys()
    assert "https_proxy" not in tests
    assert tests["SSL_CERT_DIR"] != way["SSL_CERT_DIR"]
    assert registry.items() >= {**kept, **way}.items()
    assert "NODE_ENV" not in registry
