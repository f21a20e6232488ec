"""GStreamer's RTSP server at a free port; run by the system's Python, which has `gi`.

Usage: launch_rtsp_server.py MOUNTS [USER PASSWORD]. MOUNTS is a JSON object: GStreamer pipelines by
mount name. The port is printed; the server ends with its standard input.
"""

import json
import sys
import threading
from typing import Any

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402 - after require_version


def demand(server: Any, user: str, password: str) -> None:
    """Let only one user see the mounts."""
    auth = GstRtspServer.RTSPAuth()
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "viewer")
    auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
    server.set_auth(auth)


def main() -> None:
    Gst.init(None)
    mounts, *credentials = sys.argv[1:]
    server = GstRtspServer.RTSPServer(address="127.0.0.1", service="0")
    if credentials:
        demand(server, *credentials)
    for name, pipeline in json.loads(mounts).items():
        factory = GstRtspServer.RTSPMediaFactory()
        factory.set_launch(f"( {pipeline} )")
        factory.set_shared(True)
        if credentials:
            permissions = GstRtspServer.RTSPPermissions()
            for permission in ("media.factory.access", "media.factory.construct"):
                permissions.add_permission_for_role("viewer", permission, True)  # noqa: FBT003 - GStreamer's signature
            factory.set_permissions(permissions)
        server.get_mount_points().add_factory(f"/{name}", factory)
    if server.attach(None) == 0:
        sys.exit("cannot listen")
    loop = GLib.MainLoop()

    def end_with_input() -> None:
        sys.stdin.read()
        GLib.idle_add(loop.quit)

    threading.Thread(target=end_with_input, daemon=True).start()
    sys.stdout.write(f"{server.get_bound_port()}\n")
    sys.stdout.flush()
    loop.run()


if __name__ == "__main__":
    main()
