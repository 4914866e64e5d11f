"""The guards of limits: without one of them a limit would be exceeded, or somebody wait for nothing."""

from __future__ import annotations

from tests.mutation.guard import Guard

COUNTED = "engines/test_counted_claim.py"
TRADES = "limiting/test_trades.py"
QUEUE = "limiting/test_queue_limit.py"
LINES = "limiting/test_lines.py"
SWEEP = "limiting/test_sweep.py"
RACES = "limiting/test_races.py"

GUARDS = [
    Guard(
        "limiting/claim.py",
        "max(number, «size // len(lines)») for line",
        "0",
        f"{LINES}::test_a_flood_of_one_key_in_the_line_of_a_job_holds_nobody_else_up",
        "a flood in the line of a job, held by its key, leaves the slot to others",
    ),
    Guard(
        "limits/allowance.py",
        "if «run.waits_for_token» and (line := run.line) is not None",
        "False",
        "limiting/test_rates.py::test_a_flood_that_its_own_rate_holds_leaves_the_tokens_of_the_queue_to_others",
        "a flood in the line for tokens of a queue, held by its own rate, leaves them to others",
    ),
    Guard(
        "limiting/claim.py",
        "«bucket.changed = True»  # as of now",
        "pass",
        "limiting/test_rates.py::test_more_lines_with_tokens_than_one_claim_looks_at_are_looked_at_by_the_next",
        "no line with a token is passed over for ever, where there are very many",
    ),
    Guard(
        "limiting/sweep.py",
        "if «len(lines[queue]) >= LINES // len(queues)»",
        "True",
        f"{SWEEP}::test_a_queue_with_very_many_lines_does_not_keep_the_sweep_from_the_others",
        "very many lines in one queue do not put off the sweep of another",
    ),
    Guard(
        "limiting/rules.py",
        'rate_per_key=«"rate_key" in config.job_defaults»',
        "True",
        "limiting/test_rates.py::test_a_rate_that_an_operator_sets_for_a_queue_counts_by_key_only_where_the_queue_does",
        "a rate of a queue that declares no rate key is one for all its runs, whoever sets it",
    ),
    Guard(
        "operations/limits.py",
        "if «job and own.concurrent_jobs_per_key is None» and rules",
        "False",
        "operations/test_limits.py::test_a_job_does_not_get_a_limit_of_keys_that_takes_it_out_of_that_of_its_queue",
        "a limit that is set does not let two runs of a key run that the settings keep apart",
    ),
    Guard(
        "limiting/claim.py",
        "«buckets.forget(self._namespace, self._queue, gone)»",
        "pass",
        "limiting/test_rates.py::test_a_rate_that_is_gone_with_those_who_waited_for_it_is_forgotten",
        "the bucket of a rate that is gone does not stand in line before others for ever",
    ),
    Guard(
        "engines/base/bounds.py",
        "bounds.slow = «bounds.slow + 1» if",
        "PATIENCE",
        "engines/test_bounds.py::test_bounds_are_kept_though_a_busy_machine_makes_some_claims_slow",
        "a claim that a busy machine makes slow is not followed by a second of claims that all are",
    ),
    Guard(
        "engines/postgresql/counted_claiming.py",
        "statements = [«self.LOCK,» self.COUNT",
        '"SELECT",',
        f"{RACES}::test_a_claim_waits_for_the_one_before_it_and_counts_what_that_has_claimed",
        "who counts waits for those before him",
        "postgresql",
    ),
    Guard(
        "limiting/turn.py",
        "return None if rules.park or «rules.queue.operated» else",
        "False",
        f"{QUEUE}::test_a_limit_that_an_operator_sets_as_it_was_declared_holds_up_nobody",
        "a limit that is set as it was declared holds up nobody",
    ),
    Guard(
        "engines/sqlite/lines.py",
        "for line in lines «if lines[line] == number»",
        "",
        "engines/test_front.py",
        "of each line as many are looked at as are asked for",
    ),
    Guard(
        "engines/base/locking.py",
        "AND queue = %(queue)s AND «state = 'running'»",
        "FALSE",
        COUNTED,
        "what is running is counted",
    ),
    Guard(
        "limiting/claim.py",
        "if not (self._rules.rated «or self._rules.ordered»)",
        "",
        "limiting/test_order.py",
        "the order of keys is kept where no rate is asked for",
    ),
    Guard(
        "engines/base/counted_claiming.py",
        "number = max(0, «min(self.wanted, self.most - running)»)",
        "self.wanted",
        COUNTED,
        "no more is claimed than the queue lets run",
    ),
    Guard(
        "engines/base/counted_claiming.py",
        "min(self.ahead, «self.most // 2 - running - number»)",
        "self.ahead",
        COUNTED,
        "nothing is claimed ahead that others might start",
    ),
    Guard(
        "engines/postgresql/counted_claiming.py",
        "GREATEST(0, «LEAST(%(wanted)s, %(most)s - running)») AS number",
        "%(wanted)s",
        COUNTED,
        "no more is claimed than the queue lets run",
        "postgresql",
    ),
    Guard(
        "engines/postgresql/counted_claiming.py",
        "AND queue = %(queue)s AND «state = 'running'»",
        "FALSE",
        COUNTED,
        "what is running is counted",
        "postgresql",
    ),
    Guard(
        "engines/postgresql/counted_claiming.py",
        "«AND NOT EXISTS (SELECT FROM unknown)» {PostgreSQLClaiming.LEASED}",
        "",
        COUNTED,
        "a counted claim behind bounds leaves no higher level waiting",
        "postgresql",
    ),
    Guard(
        "worker/exchange.py",
        "last=«ours and» len(self._queues) == 1)",
        "",
        TRADES,
        "the transaction of a caller is his to commit",
        "postgresql",
    ),
    Guard(
        "worker/exchange.py",
        "last=ours «and len(self._queues) == 1»)",
        "",
        TRADES,
        "what is claimed from several queues is committed together",
        "postgresql",
    ),
    Guard(
        "limiting/limiter.py",
        "if «len(limited) != 1 or» limited[0] in self._operated",
        "not limited or",
        TRADES,
        "several queues are locked together, in order",
        "postgresql",
    ),
    Guard(
        "limiting/limiter.py",
        "return {} if «rules.park or» most is None",
        "",
        QUEUE,
        "a queue that parks is not only counted",
    ),
    Guard(
        "limiting/turn.py",
        "«if claimed := self._claim_in_room(queue, room, worker, lease_seconds, last): return claimed»",
        "return self._claim_in_room(queue, room, worker, lease_seconds, last) or Claimed([], more=False)",
        QUEUE,
        "what an operator sets takes effect at the next claim",
    ),
    Guard(
        "limiting/lines.py",
        "if run.line in other «or self._is_astray(run)»",
        "",
        LINES,
        "nobody is forgotten in the line of a key that is not his any more",
    ),
    Guard(
        "limiting/lines.py",
        "return moved(run, None, now)«»",
        "._replace(blocked_on=run.blocked_on)",
        LINES,
        "who is called leaves the line",
    ),
    Guard(
        "limiting/sweep.py",
        "allowance.vacant(line, BATCH)) «- waiting[queue, line]»",
        "",
        SWEEP,
        "nobody is called for a slot for which another was called",
    ),
    Guard(
        "limits/rate.py",
        "except «OverflowError»: return far",
        "ZeroDivisionError",
        "limiting/test_rates.py::test_no_line_is_so_long_and_no_rate_so_slow_that_a_time_cannot_be_told",
        "no slow rate ends a worker",
    ),
]
