"""Bugs one could write into the real code on a tired day, and the tests that must notice each of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mutant:
    """`what` goes wrong when in `file` each old text becomes the new one; `caught_by` are the tests that must fail."""

    what: str
    file: str
    changes: Sequence[tuple[str, str]]
    caught_by: str


EXECUTOR, RELAY = "tests/chassis/test_executor.py::test_", "tests/chassis/test_relay.py::test_"
PASSED_ON = "tests/consent/test_passing_on.py::test_"
DOOR, HANDOVER = "tests/consent/test_api.py::test_", "tests/handover/test_domain.py::test_"

MUTANTS: Sequence[Mutant] = (
    Mutant(
        "no inbox: a repeat is taken for another event",
        "chassis/inbox.py",
        [("known = heard.meta.id in self._known or heard.meta.id == lane.last_id\n", "known = False\n")],
        f"{EXECUTOR}an_event_heard_twice_has_one_effect",
    ),
    Mutant(
        "the offset is committed before the effect",
        "chassis/consumer.py",
        [("if await self._durable(records):",
          ("if [self._heard_up_to.update(_ends_of(records)), await self._commit(consumer)]"
           " and await self._durable(records):"))],
        "tests/chassis/test_consumer.py::test_nothing_is_committed_before_it_is_durable",
    ),
    Mutant(
        "where hearing stands is written before the effect",
        "chassis/executor/run.py",
        [("        self._events.extend(works)\n",
          "        await self._write_position(delivery)\n        self._events.extend(works)\n")],
        f"{EXECUTOR}hearing_moves_on_when_the_last_item_of_what_was_divided_is_durable_and_not_before",
    ),
    Mutant(
        "dual write: what is said is committed by itself",
        "chassis/executor/batch.py",
        [("        await outbox.say(tx, ",
          "        async with database.transaction(tx.engine) as aside:\n            await outbox.say(aside, "),
         ("from chassis import deadlines,", "from chassis import database, deadlines,")],
        f"{EXECUTOR}what_is_rolled_back_was_never_said",
    ),
    Mutant(
        "deleted from the outbox before the broker has acknowledged it",
        "chassis/relay.py",
        [("outcomes = await self._sender.",
          "await connection.execute(sa.text('DELETE FROM outbox')); outcomes = await self._sender.")],
        f"{RELAY}a_broker_that_hangs_delays_and_loses_nothing",
    ),
    Mutant(
        "what follows a failure of its own subject counts as published",
        "chassis/relay.py",
        [("            stuck.add((row.topic, row.key))\n", "            continue\n")],
        f"{RELAY}nothing_behind_a_failure_of_its_own_stream_counts_as_published",
    ),
    Mutant(
        "wrong key: every record has its own",
        "chassis/relay.py",
        [('"key": key_of(row.key)', '"key": key_of(UUID(int=row.pos))')],
        f"{RELAY}what_was_said_is_published_in_order_and_remembered",
    ),
    Mutant(
        "no lock: the subject is read and not held",
        "services/handover/store/handovers.py",
        [(".order_by(handovers.c.id).with_for_update()", ".order_by(handovers.c.id)")],
        "tests/handover/test_store.py::test_a_handover_that_is_loaded_is_held_until_it_is_saved",
    ),
    Mutant(
        "no lock at the door: the person's row is read and not held",
        "services/consent/store/leases.py",
        [(".where(person.c.id == of).with_for_update(read=True)", ".where(person.c.id == of)")],
        f"{DOOR}a_release_that_is_being_opened_keeps_the_withdrawal_out",
    ),
    Mutant(
        "unsorted insert: two batches wait for each other",
        "chassis/executor/answers.py",
        [("    keys = sorted(wanted)\n", "    keys = list(wanted)\n"), ("    ORDER BY principal, key\n", "")],
        f"{EXECUTOR}keys_are_claimed_in_their_order_whatever_the_order_of_the_commands",
    ),
    Mutant(
        "no sequence check: a gap is passed over",
        "chassis/inbox.py",
        [('        if seq > lane.last_seq + 1:\n            return Fate.PARK, "gap"\n', "")],
        f"{EXECUTOR}a_gap_holds_the_lane_and_what_was_missing_lets_it_go_on",
    ),
    Mutant(
        "a fork is taken for a duplicate",
        "chassis/inbox.py",
        [('            return Fate.PARK, "fork"\n', '            return Fate.KNOWN, ""\n')],
        f"{EXECUTOR}another_event_under_a_number_already_heard_is_a_fork_and_stops_the_lane",
    ),
    Mutant(
        "one Idempotency-Key, two commands",
        "chassis/executor/batch.py",
        [("        known = stored.get(key) or self._answers.get(key)\n", "        known = None\n")],
        f"{EXECUTOR}the_same_key_gets_the_same_answer_and_another_body_under_it_is_refused",
    ),
    Mutant(
        "a refused command keeps what its first step did",
        "chassis/executor/batch.py",
        [("        self._current.update(after)\n        self._held = held\n", "        self._held = held\n"),
         ("        after[key] = now if now is before",
          "        after[key] = self._current[key] = now if now is before")],
        f"{EXECUTOR}all_steps_of_an_item_happen_or_none",
    ),
    Mutant(
        "a deadline fires although it was moved",
        "chassis/executor/looking.py",
        [("AND id = ANY(:deadlines) AND due_at <= clock_timestamp()", "")],
        f"{EXECUTOR}a_deadline_that_is_due_later_does_not_fire_now",
    ),
    Mutant(
        "expiry ignores an acceptance on its way",
        "chassis/deadlines.py",
        [("    return [cause for cause in causes if cause not in why]\n", "    return list(causes)\n")],
        "tests/chassis/test_fair_clock.py",
    ),
    Mutant(
        "the lease's timer starts late",
        "services/consent/door/releasing.py",
        [("    since = monotonic()  # Begin: ", "    # Begin: "),
         ("    claim = Claim(since, AgencyId", "    claim = Claim(0.0, AgencyId"),
         ("return claim.since + min(", "return monotonic() + min(")],
        f"{DOOR}a_lease_counts_from_before_anybody_was_asked",
    ),
    Mutant(
        'the answer "withdrawn" does not wait for open leases',
        "services/consent/door/withdrawal.py",
        [("    while monotonic() < end:\n", "    while False:\n")],
        f"{DOOR}a_withdrawal_waits_for_a_lease_but_not_for_one_whose_process_died",
    ),
    Mutant(
        "on a phone a withdrawal is tried before it is written down",
        "services/consent/door/withdrawal.py",
        [("    await intend(resources, of, consent, None if grant is None else [grant])\n", "")],
        "tests/consent/test_receipts.py::test_the_will_is_written_down_before_it_is_carried_out",
    ),
    Mutant(
        "on a phone a withdrawal is answered at once",
        "services/consent/door/withdrawal.py",
        [("    await settled(resources, consent)\n", "")],
        "tests/consent/test_receipts.py::test_it_is_answered_when_no_byte_can_follow",
    ),
    Mutant(
        "an objection is tried before it is written down",
        "services/consent/api/declarations.py",
        [("    before=out_of_its_way, after=", "    after=")],
        "tests/consent/test_declarations.py::"
        "test_overlapping_readers_starve_neither_an_objection_nor_the_end_of_a_clearance[an_objection]",
    ),
    Mutant(
        "what was entrusted goes on the task of an ordinary row",
        "services/consent/domain/decision.py",
        [("if row.of_entrusted is item.entrusted and ", "if row.of_entrusted <= item.entrusted and ")],
        "tests/consent/test_entrusted.py::"
        "test_the_task_of_an_ordinary_row_lets_go_what_nobody_entrusted_and_leaves_the_rest",
    ),
    Mutant(
        "who guesses codes of receipts may go on",
        "services/consent/api/receipts/phone.py",
        [("resources.tries.begin(place_of(call.address))", "resources.tries.begin(body.code)")],
        "tests/consent/test_receipts.py::test_who_guesses_stands_in_line_and_nobody_elsewhere_is_slowed",
    ),
    Mutant(
        "with the code of one consent a part of another one is taken back",
        "services/consent/api/receipts/phone.py",
        [("    if body.grant is not None and grant is None:\n", "    if False:\n")],
        "tests/consent/test_receipts.py::test_a_grant_of_another_consent_is_not_taken_back_with_this_code",
    ),
    Mutant(
        "the door does not look for a withdrawal that is written down",
        "services/consent/door/releasing.py",
        [("    if await leases.being_withdrawn(tx, of, claim.recipient):\n", "    if not tx:\n")],
        f"{DOOR}the_door_stays_out_of_the_way_of_a_withdrawal_that_is_written_down",
    ),
    Mutant(
        "the door believes the receiver's word that it was accepted",
        "services/consent/door/releasing.py",
        [("    return None if standing.state in OPEN else Refused(Reason.NOT_OPEN, standing.state)\n",
          "    return None\n")],
        f"{DOOR}the_door_asks_own_handover_and_intake_each_time",
    ),
    Mutant(
        "the door decides on the flags of yesterday",
        "services/consent/door/releasing.py",
        [("    return decide_all(wanted, tuple(content.item() for content in contents), about)\n",
          "    return decide_all(wanted, transmission.items, about)\n")],
        f"{DOOR}flags_set_after_the_decision_count_at_the_door",
    ),
    Mutant(
        "those to whom something was passed on are not told of the withdrawal",
        "services/consent/domain/person.py",
        [("lines = passed_on(decided.subject, command.releases, command.items)",
          "lines = passed_on(decided.subject, (), command.items)")],
        f"{PASSED_ON}whoever_got_it_from_us_is_told_when_its_basis_ends_where_it_came_from",
    ),
    Mutant(
        "the answer does not wait for those to whom it was passed on",
        "services/consent/domain/passing_on.py",
        [("    if any(each.state is DutyState.AWAITS for each in others):\n", "    if not duty:\n")],
        f"{PASSED_ON}the_answer_waits_for_theirs_and_says_what_they_said_but_not_who",
    ),
    Mutant(
        "what has lost its basis where it came from is passed on",
        "services/consent/domain/decision.py",
        [("        (source_ended(item, about), DecisionReason.CONSENT_WITHDRAWN),\n", "")],
        f"{PASSED_ON}what_has_lost_its_basis_where_it_came_from_is_passed_on_no_more_whatever_consent_there_is",
    ),
    Mutant(
        "nobody closes the releases of a process that died",
        "services/consent/door/sweeper.py",
        [("        for wanted, of in sorted(releases & releases_now):\n", "        for wanted, of in ():\n")],
        f"{DOOR}a_release_whose_process_died_is_closed_and_told_as_unknown",
    ),
    Mutant(
        "the lead is dropped too early: at the acceptance",
        "services/handover/domain/sender.py",
        [("    row(S.REQUESTED,    AcceptanceDeclared, S.ACCEPTED,    (acceptance_confirmed,)),\n",
          "    row(S.REQUESTED,    AcceptanceDeclared, S.ACCEPTED,    (acceptance_confirmed,), (drop_lead,)),\n")],
        "tests/handover/test_protocol.py",
    ),
    Mutant(
        "two batons for one case",
        "chassis/executor/batch.py",
        [("frozenset(reservation for reservation in wanted if held.get(reservation) in (None, step.subject))",
          "frozenset(wanted)")],
        f"{EXECUTOR}only_one_holds_a_reservation_until_it_frees_it",
    ),
    Mutant(
        "the baton is freed before the receiver's last word",
        "services/handover/domain/sender.py",
        [("S.ACCEPTED,     ConsentWithdrawn,   S.STOPPED,     (stopped,),   (note_verdicts, await_word)",
          "S.ACCEPTED,     ConsentWithdrawn,   S.STOPPED,     (stopped,),   (note_verdicts,)")],
        f"{HANDOVER}a_sender_that_ends_alone_after_both_said_yes_keeps_the_case_reserved",
    ),
    Mutant(
        "a dossier sealed for somebody else is opened",
        "services/intake/errands.py",
        [("    if bound != (str(handover), recipient, str(dossier.release)) or dossier.handover != handover:\n",
          "    if not bound:\n")],
        "tests/intake/test_errands.py",
    ),
    Mutant(
        "a line that was cut is asked for as much again",
        "services/intake/errands.py",
        [("max(asked // 2, ONE_ITEM_BYTES)", "max(asked, ONE_ITEM_BYTES)")],
        "tests/intake/test_errands.py::test_a_line_that_is_cut_is_asked_for_half_until_only_one_item_is_asked_for",
    ),
    Mutant(
        "one other party can stop the whole consumer",
        "chassis/brake.py",
        [("if sum(of.values()) - loudest > LANES_MAX:", "if sum(of.values()) > LANES_MAX:")],
        "tests/chassis/test_brake.py::"
        "test_another_party_that_breaks_its_contract_is_not_heard_and_everybody_else_is",
    ),
    Mutant(
        "of two processes under one instance nobody steps aside",
        "chassis/brake.py",
        [("        self.ousted = not seated\n", "        self.ousted = False\n")],
        "tests/chassis/test_brake.py::"
        "test_of_two_processes_under_one_instance_the_later_one_hears_and_the_other_says_what_to_do",
    ),
)
