from tests.services.test_agents import *  # noqa: F403
