"""The worker: processes that claim runs and work them."""
