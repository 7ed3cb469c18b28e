from tests.services.test_queue_leases import *  # noqa: F403
