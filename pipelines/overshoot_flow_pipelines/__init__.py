"""Ready dataflows and the command line."""
