"""A LiveKit-compatible ingest on aiortc: rooms with one publisher, and subscribers to it.

Spoken is what the LiveKit SDKs need: signalling as protobuf over WebSocket at `/rtc`, media over
a publisher and a subscriber peer connection. There is no resume: an SDK whose connection broke is
told to join anew, which it does by itself. Data channels, data tracks, audio, simulcast and
encryption are accepted where the SDK insists and otherwise ignored.
"""
