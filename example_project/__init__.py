"""A shop's notification centre: how a Django site uses django-jobqueue. Start reading at ``shop/jobs.py``."""
