from tests.services.test_pools import *  # noqa: F403
