from tests.services.test_held import *  # noqa: F403
