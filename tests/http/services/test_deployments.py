from tests.services.test_deployments import *  # noqa: F403
