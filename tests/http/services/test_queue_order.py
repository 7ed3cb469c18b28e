from tests.services.test_queue_order import *  # noqa: F403
