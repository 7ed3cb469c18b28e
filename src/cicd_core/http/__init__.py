"""The control plane over HTTP: a server to run or mount, and a client with the same services.

Install the extra ``http``. :func:`cicd_core.http.server.create_app` makes the application,
:class:`cicd_core.http.client.RemoteControlPlane` reaches it. Both speak through
:mod:`cicd_core.http.wire`; neither knows the other. No rule of the domain is written here: one
request is one call of a service, and one error class is one problem type.
"""
