"""Several cameras behind one GStreamer RTSP server; run by the system's Python, which has `gi`.

Usage: gstreamer_cameras.py PORT CAMERAS [--credentials USER PASSWORD] [--tls PEM]. CAMERAS is a
JSON object: settings by mount name. PEM is a file with a private key and its certificate. One JSON
line on standard output says that the server listens; each JSON line on standard input is a command,
answered by one line:

    {"command": "set", "camera": "a", "settings": {...}}   replace it; its clients are sent away
    {"command": "jump", "camera": "a", "seconds": 100}     its time stamps jump
    {"command": "mute", "camera": "a", "muted": true}      connected, but no picture comes
    {"command": "sessions"}                                how many clients are connected

A camera with the setting `clip` costs little: `{"clip": "/folder/*.h264", "fps": 25}` sends one
access unit from each of these files, over and over (see `gstreamer_clip.py`).

The server ends with its standard input.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
from typing import Any

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gio, GLib, Gst, GstRtspServer  # noqa: E402 - after require_version
from gstreamer_clip import LAUNCH_LINE, Clip  # noqa: E402 - as above

DEFAULTS = {
    "codec": "h264",
    "width": 320,
    "height": 240,
    "fps": 25,
    "key_interval": 25,
    "b_frames": 0,
    "pattern": "ball",
    "slices": 1,
}


def launch_line(settings: dict[str, Any]) -> str:
    """Return the pipeline of one camera; with a `file` it plays that MP4 at its own pace."""
    if "clip" in settings:
        return LAUNCH_LINE
    s = {**DEFAULTS, **settings}
    if s["codec"] == "audio":
        return "( audiotestsrc is-live=true ! alawenc ! rtppcmapay name=pay0 pt=8 )"
    if "file" in s:
        # The payloader would repeat the parameter sets before every slice, the parser does it once
        # for every key frame.
        return (
            "( filesrc location={file} ! qtdemux ! h264parse name=parse config-interval=-1 ! "
            "video/x-h264,stream-format=byte-stream,alignment=au ! rtph264pay name=pay0 pt=96 )"
        ).format(**s)
    # Tuned for latency the encoder reorders nothing, whatever else is asked of it; and without a
    # profile the elements agree on the baseline one, which has no B-frames.
    reordered = bool(s["b_frames"])
    s["tune"] = "rc-lookahead=4 b-adapt=false" if reordered else "tune=zerolatency"
    s["profile"] = "! video/x-h264,profile=main" if reordered else ""
    encoders = {
        "h264": "x264enc {tune} speed-preset=ultrafast threads=1 bitrate=800 "
        "option-string=slices={slices} "
        "key-int-max={key_interval} bframes={b_frames} {profile} ! h264parse name=parse ! "
        "rtph264pay name=pay0 pt=96 config-interval=-1",
        "h265": "x265enc tune=zerolatency speed-preset=ultrafast bitrate=800 "
        "key-int-max={key_interval} ! h265parse name=parse ! "
        "rtph265pay name=pay0 pt=96 config-interval=-1",
        "mjpeg": "jpegenc ! rtpjpegpay name=pay0 pt=26",
    }
    return (
        "( videotestsrc is-live=true pattern={pattern} ! "
        "video/x-raw,format=I420,width={width},height={height},framerate={fps}/1 ! "
        "valve name=valve ! " + encoders[s["codec"]] + " )"
    ).format(**s)


class Cameras:
    """The mounts and what can be done to them while they are watched."""

    def __init__(
        self,
        port: int,
        cameras: dict[str, dict[str, Any]],
        *,
        credentials: list[str] | None,
        tls: str | None,
    ) -> None:
        self.server = GstRtspServer.RTSPServer(address="127.0.0.1", service=str(port))
        self.has_guard = credentials is not None or tls is not None
        if self.has_guard:
            auth = GstRtspServer.RTSPAuth()
            token = GstRtspServer.RTSPToken()
            token.set_string("media.factory.role", "viewer")
            if credentials is None:
                auth.set_default_token(token)
            else:
                auth.add_basic(GstRtspServer.RTSPAuth.make_basic(*credentials), token)
            if tls is not None:
                auth.set_tls_certificate(Gio.TlsCertificate.new_from_file(tls))
            self.server.set_auth(auth)
        self.media: dict[str, Any] = {}
        for name, settings in cameras.items():
            self.mount(name, settings)
        if self.server.attach(None) == 0:
            sys.exit(f"cannot listen on port {port}")

    def mount(self, name: str, settings: dict[str, Any]) -> None:
        factory = GstRtspServer.RTSPMediaFactory()
        factory.set_launch(launch_line(settings))
        factory.set_shared(True)
        if self.has_guard:
            permissions = GstRtspServer.RTSPPermissions()
            permissions.add_permission_for_role("viewer", "media.factory.access", True)  # noqa: FBT003 - GObject
            permissions.add_permission_for_role("viewer", "media.factory.construct", True)  # noqa: FBT003 - GObject
            factory.set_permissions(permissions)
        is_live = "file" not in settings
        factory.connect(
            "media-configure", lambda _factory, media: self.configured(name, media, is_live)
        )
        if "clip" in settings:
            clip = Clip(settings["clip"], settings["fps"])
            factory.connect("media-configure", lambda _factory, media: clip.play_into(media))
        self.server.get_mount_points().add_factory(f"/{name}", factory)

    def configured(self, name: str, media: Any, is_live: bool) -> None:  # noqa: FBT001 - GObject
        # With it the sinks would wait for time stamps that jump ahead.
        media.set_rate_control(not is_live)
        self.media[name] = media

    def send_clients_away(self) -> None:
        self.server.client_filter(lambda _server, _client: GstRtspServer.RTSPFilterResult.REMOVE)

    def element(self, camera: str, element: str) -> Any:
        return self.media[camera].get_element().get_by_name(element)

    def run(self, command: dict[str, Any]) -> dict[str, Any]:
        kind = command["command"]
        if kind == "set":
            self.mount(command["camera"], command["settings"])
            self.send_clients_away()
        elif kind == "jump":
            pad = self.element(command["camera"], "parse").get_static_pad("src")
            pad.set_offset(pad.get_offset() + int(command["seconds"] * Gst.SECOND))
        elif kind == "mute":
            self.element(command["camera"], "valve").set_property("drop", command["muted"])
        elif kind == "sessions":
            clients = self.server.client_filter(
                lambda _server, _client: GstRtspServer.RTSPFilterResult.REF
            )
            return {"sessions": len(clients)}
        else:
            return {"error": f"unknown command {kind}"}
        return {}


def say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def main() -> None:
    Gst.init(None)
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("cameras", type=json.loads)
    parser.add_argument("--credentials", nargs=2)
    parser.add_argument("--tls")
    given = parser.parse_args()
    served = Cameras(given.port, given.cameras, credentials=given.credentials, tls=given.tls)
    loop = GLib.MainLoop()

    def obey(line: str) -> bool:
        say(served.run(json.loads(line)))
        return False

    def read_commands() -> None:
        for line in sys.stdin:
            GLib.idle_add(obey, line)
        GLib.idle_add(loop.quit)

    threading.Thread(target=read_commands, daemon=True).start()
    say({"listening": given.port})
    loop.run()


if __name__ == "__main__":
    main()
