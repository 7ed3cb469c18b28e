"""Links and chains: the services as operations that compose, as in the original system.

They run with codeuchain (extra ``chains``), or with the runner of this package, which has no
dependencies. The how-to "Compose links and chains" has examples.
"""

from __future__ import annotations

from cicd_core.chains.agent_chains import (
    AgentDeregistrationChain,
    AgentHeartbeatChain,
    AgentRegistrationChain,
    AgentStatusUpdateChain,
    GetHealthyAgentsChain,
    ListAgentsChain,
)
from cicd_core.chains.agent_links import (
    DeregisterAgentLink,
    GetAgentLink,
    GetHealthyAgentsLink,
    ListAgentsLink,
    RecordAgentHeartbeatLink,
    RegisterAgentLink,
    SerializeAgentLink,
    SerializeAgentsListLink,
    UpdateAgentStatusLink,
    ValidateAgentRegistrationLink,
)
from cicd_core.chains.dashboard_chains import (
    DeploymentCreationChain,
    DeploymentLifecycleChain,
    JobCreationChain,
    JobExecutionChain,
    ListDeploymentsChain,
    ListJobsChain,
)
from cicd_core.chains.deployment_links import (
    CreateDeploymentLink,
    ListDeploymentsByServiceLink,
    ListDeploymentsLink,
    RecordProductionDeploymentLink,
    RecordRollbackLink,
    RecordStagingDeploymentLink,
    RetrieveDeploymentLink,
    SerializeDeploymentLink,
    ValidateDeploymentCreationLink,
)
from cicd_core.chains.job_links import (
    CreateJobLink,
    ListJobsLink,
    ListRunningJobsLink,
    RecordJobExecutionLink,
    RetrieveJobLink,
    SerializeJobLink,
    UpdateJobStatusLink,
    ValidateJobCreationLink,
)
from cicd_core.chains.links import PlaneLink, ServiceLink
from cicd_core.chains.queue_chains import (
    ClaimChain,
    CompleteChain,
    EnqueueChain,
    MaintenanceChain,
    StartChain,
    StatsChain,
)
from cicd_core.chains.queue_links import (
    ClaimJobLink,
    CompleteJobLink,
    EnqueueJobLink,
    GetQueueStatsLink,
    RequeueExpiredLeasesLink,
    RetryFailedJobLink,
    SerializeQueueJobLink,
    SerializeStatsLink,
    StartJobExecutionLink,
)
from cicd_core.chains.running import Chain, Context, Link, Middleware, State
from cicd_core.chains.service_chain import ServiceChain

__all__ = [
    "AgentDeregistrationChain",
    "AgentHeartbeatChain",
    "AgentRegistrationChain",
    "AgentStatusUpdateChain",
    "Chain",
    "ClaimChain",
    "ClaimJobLink",
    "CompleteChain",
    "CompleteJobLink",
    "Context",
    "CreateDeploymentLink",
    "CreateJobLink",
    "DeploymentCreationChain",
    "DeploymentLifecycleChain",
    "DeregisterAgentLink",
    "EnqueueChain",
    "EnqueueJobLink",
    "GetAgentLink",
    "GetHealthyAgentsChain",
    "GetHealthyAgentsLink",
    "GetQueueStatsLink",
    "JobCreationChain",
    "JobExecutionChain",
    "Link",
    "ListAgentsChain",
    "ListAgentsLink",
    "ListDeploymentsByServiceLink",
    "ListDeploymentsChain",
    "ListDeploymentsLink",
    "ListJobsChain",
    "ListJobsLink",
    "ListRunningJobsLink",
    "MaintenanceChain",
    "Middleware",
    "PlaneLink",
    "RecordAgentHeartbeatLink",
    "RecordJobExecutionLink",
    "RecordProductionDeploymentLink",
    "RecordRollbackLink",
    "RecordStagingDeploymentLink",
    "RegisterAgentLink",
    "RequeueExpiredLeasesLink",
    "RetrieveDeploymentLink",
    "RetrieveJobLink",
    "RetryFailedJobLink",
    "SerializeAgentLink",
    "SerializeAgentsListLink",
    "SerializeDeploymentLink",
    "SerializeJobLink",
    "SerializeQueueJobLink",
    "SerializeStatsLink",
    "ServiceChain",
    "ServiceLink",
    "StartChain",
    "StartJobExecutionLink",
    "State",
    "StatsChain",
    "UpdateAgentStatusLink",
    "UpdateJobStatusLink",
    "ValidateAgentRegistrationLink",
    "ValidateDeploymentCreationLink",
    "ValidateJobCreationLink",
]
