"""Rules for groups come back, and are nobody else's business."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from pam_totp.core.admission import EXEMPT, REQUIRED, GroupRule
from pam_totp.system.errors import PamTotpError
from tests.contract.backend import Backend
from tests.contract.sample_records import NOW, ODD_NAMES, full_record

if TYPE_CHECKING:
    from tests.contract.backend import BothFaces


class KeepsGroupRules:
    def test_a_new_store_has_no_rule_for_any_group(self, store: BothFaces) -> None:
        assert () == store.group_rules()

    def test_rules_come_back_ordered_by_name_over_another_connection(
        self, backend: Backend
    ) -> None:
        rules = [
            GroupRule(name, EXEMPT if number % 2 else REQUIRED, number * NOW)
            for number, name in enumerate(ODD_NAMES)
        ]
        with backend.open() as store:
            for rule in rules:
                store.save_group_rule(rule)
            assert tuple(sorted(rules)) == store.group_rules()
        with backend.open() as store:
            assert tuple(sorted(rules)) == store.group_rules()
            assert [] == store.check()
            assert [] == list(store.records())

    def test_a_group_has_one_rule_the_last_that_was_saved(self, store: BothFaces) -> None:
        for rule in (GroupRule("staff", EXEMPT, NOW), GroupRule("staff", REQUIRED)):
            store.save_group_rule(rule)
            assert (rule,) == store.group_rules()

    def test_a_rule_that_is_removed_leaves_the_others(self, backend: Backend) -> None:
        with backend.open() as store:
            for name in ODD_NAMES:
                store.save_group_rule(GroupRule(name, REQUIRED))
            for number, name in enumerate(ODD_NAMES, 1):
                store.remove_group_rule(name)
                assert len(ODD_NAMES) - number == len(store.group_rules())
                assert name not in [rule.name for rule in store.group_rules()]
        assert 0 == backend.count("group_rules")

    def test_removing_a_rule_that_no_group_has_changes_nothing(self, store: BothFaces) -> None:
        store.save_group_rule(GroupRule("staff", REQUIRED))
        store.remove_group_rule("Staff")
        assert (GroupRule("staff", REQUIRED),) == store.group_rules()

    def test_rules_and_users_of_the_same_name_do_not_meet(self, backend: Backend) -> None:
        backend.save(full_record("staff"))
        with backend.open() as store:
            store.save_group_rule(GroupRule("staff", EXEMPT))
            store.remove_group_rule("staff")
        assert full_record("staff") == backend.load_with_secrets("staff")

    def test_a_rule_that_this_program_does_not_know_is_not_saved(self, backend: Backend) -> None:
        with backend.open() as store:
            store.save_group_rule(GroupRule("robots", EXEMPT))
            with pytest.raises(PamTotpError):
                store.save_group_rule(GroupRule("staff", "sometimes"))
            assert (GroupRule("robots", EXEMPT),) == store.group_rules()
            store.save_group_rule(GroupRule("staff", REQUIRED))  # nothing is left open

    def test_writers_of_rules_wait_for_each_other_and_for_logins(self, backend: Backend) -> None:
        backend.save(full_record())

        def change(number: int) -> None:
            for turn in range(5):
                with backend.open() as store:
                    store.save_group_rule(GroupRule(f"group{number}", EXEMPT, turn))
                    with store.transaction("alice") as transaction:
                        assert transaction.record is not None
                        failures = transaction.record.failures + 1
                        transaction.save(transaction.record._replace(failures=failures))

        threads = [threading.Thread(target=change, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        expected = tuple(GroupRule(f"group{number}", EXEMPT, 4) for number in range(4))
        with backend.open() as store:
            assert expected == store.group_rules()
        saved = backend.load("alice")
        assert saved is not None
        assert full_record().failures + 20 == saved.failures
