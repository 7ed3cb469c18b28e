"""The server: an ASGI application over a control plane, to run or to mount."""

from __future__ import annotations

from cicd_core.http.server.access import Access, Authenticator, BearerAccess, LocalAccess
from cicd_core.http.server.app import create_app
from cicd_core.http.server.limits import Limits
from cicd_core.http.server.running import Listening, serve
from cicd_core.http.server.session_access import TokenAccess
from cicd_core.model.principal import Principal, Scope

__all__ = [
    "Access",
    "Authenticator",
    "BearerAccess",
    "Limits",
    "Listening",
    "LocalAccess",
    "Principal",
    "Scope",
    "TokenAccess",
    "create_app",
    "serve",
]
