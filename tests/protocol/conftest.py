"""Properties here take as long as they take: no test of this folder measures time."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "protocol", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("protocol")
