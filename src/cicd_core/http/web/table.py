"""The table of the pages, and the table of their forms."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from cicd_core.http.web import actions
from cicd_core.http.web.forms import Form
from cicd_core.http.web.pages import agents, deployments, keys, log, overview, queue
from cicd_core.http.web.pages import jobs as job_pages
from cicd_core.http.web.visit import Visit
from cicd_core.model.principal import Scope
from cicd_core.values import frozen

#: Reads services, and returns the values for a template.
View = Callable[[Visit], Awaitable[dict[str, Any]]]
#: Calls one command.
Action = Callable[[Visit, Form], Awaitable[actions.Done]]


@frozen(kw_only=True)
class Page:
    """A page."""

    path: str
    template: str
    title: str
    #: All scopes that are needed to see it.
    scopes: tuple[Scope, ...]
    view: View
    #: The types of events after which it is updated; None: it is not updated.
    types: str | None = None
    #: Seconds between two updates without an event; None: only events update it. The event of a
    #: claim enters the log with the next commit on its job.
    every: int | None = None
    #: Its label in the navigation; None: it is not in the navigation.
    label: str | None = None


_JOBS, _EVENTS, _AGENTS = Scope.JOBS_READ, Scope.EVENTS_READ, Scope.AGENTS_READ
_DEPLOYMENTS = Scope.DEPLOYMENTS_READ
#: Seconds between two updates of a page with jobs.
_SECONDS: Final = 10

PAGES: Final = (
    Page(
        path="/",
        template="overview.html",
        title="Overview",
        scopes=(_JOBS, _DEPLOYMENTS),
        view=overview.overview,
        every=_SECONDS,
        types="job.*,deployment.*,agent.*",
        label="Overview",
    ),
    Page(
        path="/jobs",
        template="jobs.html",
        title="Jobs",
        scopes=(_JOBS,),
        view=job_pages.jobs,
        every=_SECONDS,
        types="job.*",
        label="Jobs",
    ),
    Page(
        path="/jobs/{job_id}",
        template="job.html",
        title="Job",
        scopes=(_JOBS,),
        view=job_pages.job,
        types="job.*",
    ),
    Page(
        path="/queue",
        template="queue.html",
        title="Queue",
        scopes=(_JOBS, _AGENTS),
        view=queue.queue,
        every=_SECONDS,
        types="job.*",
        label="Queue",
    ),
    Page(
        path="/dead-letters",
        template="dead_letters.html",
        title="Dead letters",
        scopes=(_JOBS,),
        view=queue.dead_letters,
        types="job.*",
        label="Dead letters",
    ),
    Page(
        path="/deployments",
        template="deployments.html",
        title="Deployments",
        scopes=(_DEPLOYMENTS,),
        view=deployments.deployments,
        types="deployment.*",
        label="Deployments",
    ),
    Page(
        path="/deployments/{deployment_id}",
        template="deployment.html",
        title="Deployment",
        scopes=(_DEPLOYMENTS,),
        view=deployments.deployment,
        types="deployment.*",
    ),
    Page(
        path="/agents",
        template="agents.html",
        title="Agents and pools",
        scopes=(_AGENTS,),
        view=agents.agents,
        every=_SECONDS,
        types="agent.*,pool.*,job.*",
        label="Agents",
    ),
    Page(
        path="/agents/{agent_id}",
        template="agent.html",
        title="Agent",
        scopes=(_AGENTS,),
        view=agents.agent,
        every=_SECONDS,
        types="agent.*,job.*",
    ),
    Page(
        path="/events",
        template="events.html",
        title="Events",
        scopes=(_EVENTS,),
        view=log.events,
        types="*",
        label="Events",
    ),
    Page(
        path="/audit",
        template="audit.html",
        title="Audit",
        scopes=(_EVENTS,),
        view=log.audit,
        label="Audit",
    ),
    Page(
        path="/keys",
        template="keys.html",
        title="Keys and sessions",
        scopes=(Scope.KEYS_ADMIN,),
        view=keys.keys,
        types="key.*,session.*",
        label="Keys",
    ),
)

#: The path of each form, the scope that it needs, and its action.
ACTIONS: Final[Mapping[str, tuple[Scope, Action]]] = {
    "/do/jobs/cancel": (Scope.JOBS_WRITE, actions.cancel),
    "/do/jobs/replay": (Scope.JOBS_WRITE, actions.replay),
    "/do/jobs/priority": (Scope.JOBS_WRITE, actions.reprioritise),
    "/do/agents/drain": (Scope.AGENTS_ADMIN, actions.drain),
    "/do/agents/resume": (Scope.AGENTS_ADMIN, actions.resume),
    "/do/deployments/roll-back": (Scope.DEPLOYMENTS_WRITE, actions.roll_back),
    "/do/deployments/fail": (Scope.DEPLOYMENTS_WRITE, actions.fail),
    "/do/keys/revoke": (Scope.KEYS_ADMIN, actions.revoke_key),
    "/do/sessions/revoke": (Scope.SESSIONS_CREATE, actions.revoke_session),
}
