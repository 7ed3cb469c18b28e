from tests.services.test_queue_claims import *  # noqa: F403
