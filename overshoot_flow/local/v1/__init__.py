"""The local server's side of API v1 and v1beta."""
