"""The network: HTTP, WebSocket and LiveKit, with foreign exceptions translated."""
