"""The guards in the statements that claim, renew, settle, release, reap, delete and purge."""

from __future__ import annotations

from tests.mutation.guard import Guard

FENCE = "engines/test_fence.py"
REAP = "engines/test_reap.py"
CLAIM = "engines/test_claim.py"


def statements(engine: str, fence: str, run: str) -> list[Guard]:
    """Those that both engines write alike but for how they name things: *run* is the table of runs."""

    def guard(file: str, text: str, tests: str, why: str, instead: str = "TRUE") -> Guard:
        return Guard(f"engines/{engine}/{file}.py", text, instead, tests, why, engine)

    now = "%(now)s" if engine == "sqlite" else "statement_timestamp()"
    state = "" if engine == "sqlite" else "run."
    return [
        guard(
            "claiming",
            "AND «blocked_on IS NULL» AND priority = level.priority",
            CLAIM,
            "a parked run is not claimed",
        ),
        guard(
            "claiming",
            "AND «state = 'pending'» AND blocked_on IS NULL AND priority = level.priority",
            CLAIM,
            "only a pending run is claimed",
        ),
        guard(
            "claiming",
            f"AND «run_at <= {now}» AND (expires_at IS NULL",
            CLAIM,
            "a run is claimed when it is due",
        ),
        guard(
            "claiming",
            f"AND run_at <= {now} AND «(expires_at IS NULL OR expires_at > {now})»",
            CLAIM,
            "an expired run is not claimed",
        ),
        guard(
            "claiming",
            "AND («paused_at IS NOT NULL» AND (paused_until",
            CLAIM,
            "a paused queue yields nothing",
            instead="FALSE",
        ),
        guard(
            "claiming",
            f"AND «{state}state = 'pending'» {{LEASED}}",
            CLAIM,
            "what was chosen under a limit is taken only while it is pending",
        ),
        guard(
            "claiming",
            f"attempt = {state}attempt «+ 1»,",
            CLAIM,
            "each claim has a number of its own",
            instead="",
        ),
        guard(
            "settling",
            f"AND «{run}.attempt = ending.attempt»",
            FENCE,
            "a late worker settles nothing",
        ),
        guard(
            "settling",
            f"AND «{run}.lease_until IS NOT NULL» AND ({run}.lease_until <",
            FENCE,
            "an attempt is settled once",
        ),
        guard(
            "settling",
            f"AND «({run}.lease_until < {now} OR NOT %(expired)s)»",
            REAP,
            "a run that was renewed meanwhile is not reaped",
        ),
        guard(
            "settling",
            f"state = CASE WHEN «{state}cancel_requested_at IS NOT NULL» AND",
            "engines/test_settle.py",
            "a run that was asked to cancel does not start again",
            instead="FALSE",
        ),
        guard(
            "leases",
            fence.format("lease"),
            "engines/test_renew.py",
            "a late worker renews nothing",
            instead="TRUE" if engine == "sqlite" else "(id)",
        ),
        guard(
            "leases",
            fence.format("note"),
            "engines/test_note.py",
            "a late worker notes nothing",
            instead="TRUE" if engine == "sqlite" else "(id)",
        ),
        guard(
            "leases",
            f"AND «{run}.attempt = ref.attempt»",
            "engines/test_release.py",
            "a late worker releases nothing",
        ),
        guard(
            "leases",
            f"AND {run}.attempt = ref.attempt AND «{run}.lease_until IS NOT NULL»",
            "engines/test_release.py",
            "what has ended is not released",
        ),
        guard(
            "leases",
            f"SET state = CASE WHEN «{state}cancel_requested_at IS NULL» THEN 'pending'",
            "engines/test_release.py",
            "a run that was asked to cancel is not handed back",
        ),
        guard(
            "leases",
            "«LEAST(run.run_at, statement_timestamp())»" if engine == "postgresql" else "«MIN(run_at, %(now)s)»",
            "engines/test_release.py",
            "a run that is handed back keeps its place",
            instead=now,
        ),
        guard(
            "reaping",
            "WHERE «namespace = %(namespace)s»",
            REAP,
            "other deployments are let alone",
        ),
        guard(
            "reaping",
            f"AND «lease_until < {now}»",
            REAP,
            "a lease that holds is let alone",
        ),
        guard(
            "reaping",
            "AND «queue NOT IN» (SELECT",
            "front/test_external.py",
            "external queues, and those that are spared, are let alone",
            instead="TRUE OR queue NOT IN",
        ),
        guard(
            "deleting",
            "«AND lease_until IS NOT NULL»" if engine == "sqlite" else "«AND run.lease_until IS NOT NULL»",
            "engines/test_settle.py",
            "what has ended is not deleted by its job",
            instead="",
        ),
        guard(
            "deleting",
            "«AND finished_at IS NOT NULL»",
            "engines/test_purge.py",
            "only what has ended is purged",
            instead="",
        ),
    ]


GUARDS = [
    *statements("sqlite", "AND «jobqueue_run.attempt = {0}.attempt» AND jobqueue_run.lease_until", "jobqueue_run"),
    *statements("postgresql", "JOIN {0} USING «(id, attempt)»", "run"),
    Guard(
        "engines/postgresql/claiming.py",
        "LIMIT {number} «FOR UPDATE SKIP LOCKED») AS due",
        "",
        "engines/test_race.py",
        "two workers do not take the same run, nor wait for each other",
        "postgresql",
    ),
    Guard(
        "engines/postgresql/leases.py",
        "ARRAY(SELECT id FROM lease)) AND run.lease_until IS NOT NULL FOR NO KEY UPDATE OF run «SKIP LOCKED»",
        "",
        "engines/test_note.py::test_a_run_that_somebody_holds_is_passed_over",
        "a heartbeat waits for nobody",
        "postgresql",
    ),
    Guard(
        "engines/postgresql/deleting.py",
        "AND «run.attempt = ref.attempt»",
        "TRUE",
        "engines/test_settle.py",
        "a late worker deletes nothing",
        "postgresql",
    ),
]
