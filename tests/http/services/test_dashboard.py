from tests.services.test_dashboard import *  # noqa: F403
