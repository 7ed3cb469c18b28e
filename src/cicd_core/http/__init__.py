"""The control plane over HTTP: a server to run or mount, and a client with the same services.

Install the extra ``http``. :func:`cicd_core.http.server.create_app` creates the application,
:class:`cicd_core.http.client.RemoteControlPlane` calls it. Both use :mod:`cicd_core.http.wire` and
do not import each other. No rule of the domain is here: a request is a call of a service, and an
error class is a problem type.
"""
