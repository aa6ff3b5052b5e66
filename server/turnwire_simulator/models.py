"""The models the simulator lists; any other name that begins with `claude-` is served as well."""

__all__ = ["MODELS"]

MODELS = [
    {
        "type": "model",
        "id": id,
        "display_name": name,
        "created_at": created_at,
        "lifecycle": "active",
        "max_input_tokens": 200_000,
        "max_tokens": 64_000,
    }
    for id, name, created_at in (
        ("claude-simulated-opus", "Simulated Opus", "2026-06-01T00:00:00Z"),
        ("claude-simulated-sonnet", "Simulated Sonnet", "2026-05-01T00:00:00Z"),
        ("claude-simulated-haiku", "Simulated Haiku", "2026-04-01T00:00:00Z"),
    )
]
