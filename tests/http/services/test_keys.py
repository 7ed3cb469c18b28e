from tests.services.test_keys import *  # noqa: F403
