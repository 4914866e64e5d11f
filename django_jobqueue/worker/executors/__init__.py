"""Executors: how a worker runs several attempts at a time."""
