"""The client: a control plane on the other side of the network."""

from __future__ import annotations

from cicd_core.http.client.remote import RemoteControlPlane

__all__ = ["RemoteControlPlane"]
