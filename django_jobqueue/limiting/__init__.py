"""Claiming under limits: the one way in for who claims, and for who frees what was claimed."""
