"""The command line, a file a noun.

arguments.py    arguments and options that several commands take
documents.py    what several commands say alike with --json
enrollment/     enroll, reset, remove, recovery-codes
bulk/           enroll, for many people
importing/      import
exporting/      export
passphrases.py  passphrases of files that import reads and export writes
migration/      migrate
state.py        unlock, suspend, resume, rebind
renaming.py     rename
reports.py      list, show, verify
resync.py       resync
rollout.py      require, exempt, for people
key_only.py     what exempt --key-only does
asked_again.py  who is no longer exempt is no longer let in by a key alone
group_rules.py  the same for the members of a group
setup.py        init, rotate-key, selftest: their options
creating.py     what init does
rotation.py     what rotate-key does
logins.py       enable, disable, confirm, revert: their options
enabling.py     what enable does
disabling.py    what disable does
confirming.py   what confirm and revert do
outcome.py      what applies after a command that failed
status.py       status: what is on, and for whom
overview.py     what status shows, as one document
doctor.py       doctor
fleet/          fleet: many hosts, one store in a database
own/            me: people look at their own enrollment, and change it
help.py         help
"""
