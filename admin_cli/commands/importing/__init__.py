"""import: authenticators that people have already, from other programs.

command.py       the options
carrying_out.py  what it does, in order
plan.py          what an import would do, with everything checked
writing.py       do it, in one transaction
report.py        what is said of it
unlocking.py     keys and passphrases of encrypted files
"""
