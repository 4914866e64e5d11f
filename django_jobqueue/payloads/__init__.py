"""Payloads: the arguments of a run, as typed values, and as JSON text that every database can hold.

What is accepted comes back equal, and of the declared type, from any database and in any Python process; all else is
refused before it is stored.
"""

from django_jobqueue.payloads.json_text import MAX_INTEGER, MIN_INTEGER, decode_json, encode_json, storable
from django_jobqueue.payloads.parameters import Parameters
from django_jobqueue.payloads.schema import MAPPINGS, Payload, PayloadSchema

__all__ = [
    "MAPPINGS",
    "MAX_INTEGER",
    "MIN_INTEGER",
    "Parameters",
    "Payload",
    "PayloadSchema",
    "decode_json",
    "encode_json",
    "storable",
]
