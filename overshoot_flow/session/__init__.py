"""Drives the protocol over the transports: sessions, the runtime, the ledger."""
