"""The client: a control plane across the network."""

from __future__ import annotations

from cicd_core.http.client.remote import RemoteControlPlane

__all__ = ["RemoteControlPlane"]
