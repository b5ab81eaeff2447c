"""How long hypothesis looks for a way in: briefly in the gate, the same examples every time; longer on request.

pytest tests/hostile --hypothesis-profile=long
"""

from hypothesis import HealthCheck, settings

_SLOW = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large]

settings.register_profile(
    "short", max_examples=120, deadline=None, derandomize=True, database=None, suppress_health_check=_SLOW
)
settings.register_profile("long", max_examples=5000, deadline=None, database=None, suppress_health_check=_SLOW)
settings.load_profile("short")
