"""Who can get in without totpctl's help: accounts, passwords, keys, sudo.

becoming_root.py  who can become root: the one judgement of enable and doctor
shut_out.py       who would be denied once codes are asked for
"""
