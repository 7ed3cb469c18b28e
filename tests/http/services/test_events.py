from tests.services.test_events import *  # noqa: F403
