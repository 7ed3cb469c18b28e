from tests.services.test_jobs import *  # noqa: F403
