"""MariaDB, from version 10.6, and MySQL, from version 8.0.17: one engine for both, in the SQL that they share.

Three rules hold throughout. An UPDATE returns no rows here: what is to be written is locked first, by a SELECT that
tells what is there, and then written, in one transaction. A locking read locks all that it looks at: it goes by the
primary key, or along an index that has the rows in the order in which they are wanted. And a batch travels as one JSON
document, from which the tables are joined, in its order, by STRAIGHT_JOIN.

The transactions are READ COMMITTED, as Django's are: a statement sees what was committed before it began, and locks no
gaps into which others want to insert. Two statements may still collide. What is ours alone is then tried again;
a transaction of the caller is not ours to repeat, and the database has rolled all of it back.
"""

from __future__ import annotations

from django_jobqueue.engines.mysql.engine import MySQLEngine

__all__ = ["MySQLEngine"]
