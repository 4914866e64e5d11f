"""The guards of atomic jobs: their effects and their completion are committed together, or not at all."""

from __future__ import annotations

from tests.mutation.guard import Guard

ATOMIC = "worker/test_atomic.py::"

TOGETHER = [
    Guard(
        "worker/atomic.py",
        "«with transaction.atomic(using=attempt.database):»",
        "if True:",
        f"{ATOMIC}test_a_job_that_raises_leaves_nothing_behind",
        "what an attempt did that has failed is undone",
    ),
    Guard(
        "worker/atomic.py",
        'return «Fate(handed_back(self._claim, "The lease was lost: what the attempt had done is undone."))»',
        "Fate(settlement, settlement.state)",
        f"{ATOMIC}test_what_a_job_did_whose_lease_was_lost_is_undone",
        "what was done under a lost lease is undone",
    ),
    Guard(
        "worker/atomic.py",
        "«if self.fate.state is None and self._engine.connection.in_atomic_block: transaction.set_rollback(True, using=self.database)»",
        "",
        f"{ATOMIC}test_what_a_job_did_is_kept_unless_it_has_failed",
        "what is not settled is not committed",
    ),
    Guard(
        "worker/atomic.py",
        "elif «settlement.outcome in COMMITTED»:",
        "True",
        f"{ATOMIC}test_what_a_job_did_is_kept_unless_it_has_failed",
        "what a job did that says that it failed is undone",
    ),
    Guard(
        "worker/atomic.py",
        "COMMITTED: «self.fate = self._settled(settlement)»",
        "self.fate = Fate(settlement, settlement.state)",
        f"{ATOMIC}test_the_last_statement_of_the_transaction_settles_the_run_and_nothing_settles_it_again",
        "the completion is part of the transaction",
    ),
    Guard(
        "worker/settler.py",
        "settlements = [attempt.settlement for attempt in endings.attempts «if attempt.state is None»]",
        "",
        f"{ATOMIC}test_the_last_statement_of_the_transaction_settles_the_run_and_nothing_settles_it_again",
        "what its job has settled is not settled again",
    ),
    Guard(
        "worker/atomic.py",
        "or «connection.needs_rollback» or",
        "False",
        f"{ATOMIC}test_a_job_whose_transaction_has_ended_behind_our_back_has_failed",
        "a job that has closed its connection is told so",
        database="postgresql",
    ),
    Guard(
        "engines/postgresql/database.py",
        'return «bool(mark == "on")»',
        "True",
        f"{ATOMIC}test_a_job_whose_transaction_has_ended_behind_our_back_has_failed",
        "a transaction that has ended behind our back completes nothing on PostgreSQL",
        database="postgresql",
    ),
    Guard(
        "worker/atomic.py",
        "or «not self._engine.is_marked()»: raise",
        "False",
        f"{ATOMIC}test_a_job_whose_transaction_has_ended_behind_our_back_has_failed",
        "a transaction that has ended behind our back completes nothing",
    ),
    Guard(
        "worker/atomic.py",
        "if «self._queue.cleanup.purges_at_once(settlement.state)»: settlement.delete",
        "False",
        f"{ATOMIC}test_a_run_that_is_not_kept_goes_with_the_commit",
        "what is not kept goes with the commit",
    ),
]

UNKNOWN = [
    Guard(
        "worker/settler.py",
        "receipts(self._worker, [*missing, «*sent»])",
        "",
        f"{ATOMIC}test_what_a_commit_without_an_answer_has_put_back_or_deleted_is_known_to_be",
        "what an atomic job has put back or deleted is known to be, though the reply was lost",
    ),
    Guard(
        "worker/heartbeat.py",
        "for lease in self._leases.all() «if not lease.has_committed»",
        "",
        f"{ATOMIC}test_a_job_that_has_committed_and_calls_its_hooks_is_not_taken_for_lost",
        "the heartbeat takes no job for lost that has committed",
    ),
    Guard(
        "worker/self_fence.py",
        "for lease in self._leases.all() «if not lease.has_committed»",
        "",
        f"{ATOMIC}test_a_job_that_has_committed_and_calls_its_hooks_is_not_taken_for_lost",
        "the self-fence asks no job to end that has committed",
    ),
    Guard(
        "worker/child.py",
        "«self._wire.send(committed=True)»",
        "pass",
        "worker/test_processes.py::test_a_child_tells_that_its_job_has_committed_before_it_calls_its_hooks",
        "no child is killed that has committed, and calls what is to be called then",
    ),
    Guard(
        "worker/worker.py",
        "«self._executors.kill() # first: a child may be in a transaction that keeps us from writing»",
        "self._take_in_all(); self._hand_back(); self._trade(0); self._executors.kill()",
        "worker/test_processes.py::test_a_worker_that_stops_kills_what_does_not_end_and_hands_the_run_back",
        "a child that keeps its worker from writing is killed before that settles what has ended beside",
    ),
    Guard(
        "engines/sqlite/database.py",
        '«self.connection.cursor().execute("DELETE FROM jobqueue_run WHERE FALSE")»',
        "pass",
        f"{ATOMIC}test_an_atomic_job_waits_for_other_writers_before_it_begins_and_for_none_afterwards",
        "an atomic job is kept waiting before it begins, not in its middle",
    ),
    Guard(
        "worker/self_fence.py",
        "if «any(lease.excludes_writers for lease in leases)»:",
        "False",
        f"{ATOMIC}test_while_an_atomic_job_keeps_its_own_heartbeat_from_writing_no_lease_is_in_doubt",
        "an atomic job that keeps its own heartbeat from writing is not asked to end for that",
    ),
    Guard(
        "worker/receipts.py",
        "«if outcome == Outcome.COMPLETED: return State.COMPLETED»",
        "",
        "worker/test_processes.py::test_an_atomic_job_whose_process_is_killed_is_done_once_or_not_at_all",
        "what an atomic job has committed whose process was killed before it could say so is completed",
    ),
    Guard(
        "worker/atomic.py",
        "return (self._disturbed(error) or «Fate(self._decide(error))»)",
        "Fate(handed_back(claim, ''))",
        f"{ATOMIC}test_a_constraint_that_fails_with_the_commit_fails_the_job",
        "a constraint that fails with the commit is a failure of the job",
    ),
    Guard(
        "worker/atomic.py",
        "if «self._engine.is_away(error)»: return self._put_back(",
        "False",
        f"{ATOMIC}test_a_commit_without_an_answer_is_no_failure_and_what_it_did_is_done_once",
        "a lost commit is no failure of the job",
    ),
    Guard(
        "engines/sqlite/database.py",
        "return «_code(error) in AWAY»",
        "True",
        f"{ATOMIC}test_what_a_database_that_is_there_says_against_the_commit_fails_the_job",
        "what a database that is there says against a commit on SQLite is a failure of the job",
    ),
    Guard(
        "engines/postgresql/database.py",
        "return state is None or «state.startswith(AWAY)»",
        "True",
        f"{ATOMIC}test_a_trigger_that_objects_when_the_transaction_is_committed_fails_the_job",
        "what a database that is there says against a commit on PostgreSQL is a failure of the job",
        database="postgresql",
    ),
    Guard(
        "worker/atomic.py",
        "or «self._engine.has_lost_connection» self.fate",
        "False",
        f"{ATOMIC}test_a_session_that_the_server_ends_is_no_failure",
        "a job that the outage itself has ended has not failed",
        database="postgresql",
    ),
    Guard(
        "worker/atomic.py",
        "self.fate = («ours» and self._disturbed(end)) or self.fate",
        "True",
        f"{ATOMIC}test_an_outage_of_another_database_is_a_failure_as_in_any_other_job",
        "what a job says of another database does not start it again for ever",
    ),
    Guard(
        "worker/atomic.py",
        "if «self._committed»: logger.error",
        "False",
        f"{ATOMIC}test_a_hook_that_fails_changes_nothing_of_what_is_committed",
        "what fails after the commit changes nothing of the run",
    ),
    Guard(
        "worker/atomic.py",
        "if «isinstance(error, DATABASE_AWAY)»: raise NotBegun",
        "False",
        f"{ATOMIC}test_a_run_whose_transaction_cannot_begin_is_put_back_and_has_not_started",
        "that a transaction cannot begin is no failure of the job",
    ),
    Guard(
        "worker/atomic.py",
        "ours = «self._engine.is_busy(end)» or",
        "False",
        f"{ATOMIC}test_a_database_that_is_busy_is_no_failure",
        "that others were faster is no failure of the job",
    ),
]

GUARDS = [*TOGETHER, *UNKNOWN]
